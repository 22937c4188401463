"""The pages list the exit codes that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentgym.exit_code import ExitCode

ROOT = Path(__file__).parents[2]


def table(page: str, *columns: str) -> list[tuple[str, ...]]:
    """The rows of the table with these columns."""
    text = (ROOT / page).read_text(encoding="utf-8")
    head = re.escape(f"| {' | '.join(columns)} |")
    rows = re.search(rf"^{head}\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert rows is not None, f"{page} has no table {columns}"
    lines = rows[1].splitlines()
    return [tuple(cell.strip(" `") for cell in line.split("|")[1:-1]) for line in lines]


def test_the_readme_lists_what_pytest_ends_with():
    codes = [int(code) for code, _ in table("README.md", "exit code", "meaning")]
    # Only commands write into pipes.
    assert codes == sorted(set(ExitCode) - {ExitCode.PIPE})


def test_the_glossary_lists_all_by_name():
    rows = table("docs/reference/glossary.md", "exit code", "name", "meaning")
    codes = [(code.value, code.name) for code in ExitCode]
    assert [(int(code), name) for code, name, _ in rows] == codes


def test_the_glossary_lists_the_reasons_of_the_gate():
    gate = pytest.importorskip("agentgym.runs.gate")
    rows = table("docs/reference/glossary.md", "reason", "meaning", "exit code")
    assert [(name, int(code)) for name, _, code in rows] == [
        (kind.value, gate._CODES[kind]) for kind in gate.ReasonKind
    ]


@pytest.mark.parametrize("code", [c for c in ExitCode if c <= ExitCode.NOTHING])
def test_those_of_pytest_mean_what_pytests_mean(code):
    theirs = {
        "OK": pytest.ExitCode.OK,
        "BELOW": pytest.ExitCode.TESTS_FAILED,
        "INTERRUPTED": pytest.ExitCode.INTERRUPTED,
        "INTERNAL": pytest.ExitCode.INTERNAL_ERROR,
        "USAGE": pytest.ExitCode.USAGE_ERROR,
        "NOTHING": pytest.ExitCode.NO_TESTS_COLLECTED,
    }
    assert code == theirs[code.name]


def raw_codes(source: str) -> Iterator[str]:
    """Where a command's module ends, or lets `main` end, with a number other than 0."""
    tree = ast.parse(source)
    returned = [
        value
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and function.returns is not None
        and ast.unparse(function.returns) == "int"
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
        for value in (
            (node.value.body, node.value.orelse)
            if isinstance(node.value, ast.IfExp)
            else (node.value,)
        )
    ]
    ended = [
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2]
        in ("exit", "_exit", "SystemExit", "set_exitcode")
        for argument in node.args
    ]
    for value in (*returned, *ended):
        if isinstance(value, ast.Constant) and type(value.value) is int and value.value:
            yield f"{value.lineno}: {value.value}"


def test_commands_end_with_names():
    paths = [
        path
        for package in ("agentgym", "pytest_agentgym")
        for path in (ROOT / package).rglob("*.py")
        if "def main(" in path.read_text(encoding="utf-8")
        or path.parent.name == "commands"
    ]
    assert len(paths) > 4
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        for line in raw_codes(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_raw_numbers_are_seen():
    source = """
def main() -> int:
    if wrong:
        sys.exit(2)
    if not kept:
        return 0 if kept else 1
    return 3
def count() -> int:
    return ExitCode.BELOW
raise SystemExit(main())
"""
    assert sorted(raw_codes(source)) == ["4: 2", "6: 1", "7: 3"]
