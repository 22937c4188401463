"""Finds checks that reward an agent for doing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.scenarios.checks import CheckSpec
from agentgym.scenarios.source import find_functions, read_file

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def rewards_idleness(specs: Sequence[CheckSpec]) -> list[CheckSpec]:
    """The checks of a scenario that hold, and count, when nothing is done.

    `assert not run.called(...)` earns its weight from an agent that never calls a
    tool, unless a required check asks for something that has to be done.
    """
    if any(spec.must is not None and spec.negated is False for spec in specs):
        return []
    return [spec for spec in specs if spec.negated and spec.must is None]


def advice(spec: CheckSpec) -> str:
    """One sentence that says what is wrong with the check and what to do."""
    return (
        f"{spec.file}:{spec.line}: an agent that does nothing is rewarded for "
        f'`{spec.text}`: write `, must("why")` behind it, or behind a check of what '
        "has to be done"
    )


def lint_file(path: Path) -> list[str]:
    """The advice for all scenarios of a file.

    Raises:
        UsageError: The file cannot be read, or is no Python.
    """
    tree = read_file(path)
    return [
        advice(spec)
        for function in find_functions(tree, str(path))
        if function.kind != "rubric"
        for spec in rewards_idleness([found.spec for found in function.asserts])
    ]


def scenario_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The Python files that are named, and those below the folders that are named.

    Raises:
        UsageError: A path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(
                file
                for file in path.rglob("*.py")
                if not any(
                    part in _SKIPPED or part.startswith(".")
                    for part in file.relative_to(path).parts
                )
            )
        elif path.exists():
            yield path
        else:
            raise UsageError(f"{path}: there is no such file or folder")
