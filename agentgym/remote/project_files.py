"""Which files of a project are sent to another machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import UsageError

_NEVER = frozenset({".agentgym", ".git", ".venv", "venv", "__pycache__"})
_NEVER_WITHOUT_GIT = frozenset({"node_modules", ".mypy_cache", ".pytest_cache"})
"""What git would leave out in most projects."""
_MARKS = (
    *("pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini"),
    *("setup.cfg", "setup.py", ".git"),
)
_CARDS = ".agentgym/agents/*/v*/agent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """What is sent of a project.

    Attributes:
        root: The project's folder.
        names: Paths from there, sorted.
        extra: Those of them that are no part of the project, but were asked for.
        outside: Links that lead out of the project, and are not sent.
        size: Bytes in all.
    """

    root: Path
    names: tuple[str, ...]
    extra: frozenset[str]
    outside: tuple[str, ...]
    size: int


def project_root(here: Path) -> Path:
    """The project that a folder belongs to: the nearest with settings or with `.git`.

    Args:
        here: The folder.
    """
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return here


def project_files(root: Path, also: Iterable[Path] = ()) -> ProjectFiles:
    """Finds what is sent: what git does not ignore, or nearly everything without git.

    The cards of trained agents are among it, so that versions are counted on.

    Args:
        root: The project's folder.
        also: Files and folders within it that are sent in any case.

    Raises:
        UsageError: One of these is not in the project, or not there at all.
    """
    listed = _listed_by_git(root)
    usual = set(_walked(root) if listed is None else listed)
    found = usual | {str(card.relative_to(root)) for card in root.glob(_CARDS)}
    for path in also:
        found |= set(_asked_for(root, path))
    names: list[str] = []
    outside: list[str] = []
    size = 0
    home = root.resolve()
    for name in sorted(found):
        path = root / name
        if path.is_symlink():
            (names if _leads_inside(path, home) else outside).append(name)
        elif path.is_file():
            names.append(name)
            size += path.stat().st_size
    return ProjectFiles(
        root=root,
        names=tuple(names),
        extra=frozenset(found - usual),
        outside=tuple(outside),
        size=size,
    )


def _leads_inside(link: Path, home: Path) -> bool:
    # An absolute path would lead to somewhere else there.
    target = os.readlink(link)
    return not os.path.isabs(target) and link.resolve().is_relative_to(home)


def _listed_by_git(root: Path) -> list[str] | None:
    """What git does not ignore; None where there is no git."""
    command = ["git", "-C", str(root), "ls-files", "-coz", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = []
    for line in listed.stdout.split(b"\0"):
        name = os.fsdecode(line)
        inner = root / name
        if not name or _NEVER.intersection(Path(name).parts):
            continue
        if inner.is_dir() and not inner.is_symlink():
            # A repository within this one is one name to git.
            within = _listed_by_git(inner) or []
            found += [os.path.join(name, each) for each in within]
        else:
            found.append(name)
    return found


def _walked(root: Path) -> Iterator[str]:
    for path, folders, files in os.walk(root):
        at = Path(path)
        links = [name for name in folders if (at / name).is_symlink()]
        for name in (*files, *links):
            yield str((at / name).relative_to(root))
        left_out = {name for name in folders if (at / name / "pyvenv.cfg").exists()}
        left_out |= _NEVER | _NEVER_WITHOUT_GIT
        folders[:] = [name for name in folders if name not in left_out]


def _asked_for(root: Path, path: Path) -> Iterator[str]:
    whole = Path(os.path.abspath(path.expanduser()))
    if not whole.exists():
        raise UsageError(f"--also {path}: there is no such file or folder")
    inside = whole.resolve().is_relative_to(root.resolve())
    if not (inside and whole.is_relative_to(root)):
        raise UsageError(
            f"--also {path}: it is not in the project {root}: copy it there, or put it "
            "on the other machine yourself"
        )
    if not whole.is_dir():
        yield str(whole.relative_to(root))
        return
    for at, _, files in os.walk(whole):
        yield from (str(Path(at, name).relative_to(root)) for name in files)
