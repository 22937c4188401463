"""Brings runs and trained agents from another machine into the project here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.remote.machine import Machine
from agentgym.runs.files.held_folder import HeldFolder
from agentgym.runs.files.layout import EPISODES, MEASURED, SUMMARY
from agentgym.runs.files.store import write_json

_COMING = ".coming-"
_CARD, _CONFIG = "agent.json", "adapter_config.json"
_VERSION = re.compile(r"v(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What a launch brought home.

    Attributes:
        runs: Folders of runs.
        agents: Folders of versions of agents.
        notes: Sentences about them.
    """

    runs: tuple[Path, ...]
    agents: tuple[Path, ...]
    notes: tuple[str, ...]


def bring_home(machine: Machine, names: Sequence[str], root: Path, there: str) -> Came:
    """Fetches folders, and puts each into its place at once and whole.

    Args:
        machine: Where they are.
        names: Their paths from the project's folder there.
        root: The project's folder here.
        there: The project's folder there, as an absolute path.

    Raises:
        ConnectionLost: Not all could be fetched; nothing was put into its place.
        OSError: They cannot be written here.
    """
    runs: list[Path] = []
    agents: list[Path] = []
    notes: list[str] = []
    # What the other machine says is not obeyed.
    names = [name for name in names if _is_place(name)]
    if not names:
        return Came(runs=(), agents=(), notes=())
    kept = root / ".agentgym"
    kept.mkdir(exist_ok=True)
    # In the same file system: a folder is moved in one step.
    with HeldFolder(kept, _COMING) as coming:
        machine.fetch("project", names, coming)
        for name in names:
            arrived, target = coming / name, root / name
            if not arrived.is_dir():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent.name == "runs":
                _name_places_here(arrived, root, there)
                runs.append(_put(arrived, target))
            else:
                notes += _at_home(arrived, root, there)
                agents.append(_put_version(arrived, target, notes))
    return Came(runs=tuple(runs), agents=tuple(agents), notes=tuple(notes))


def _is_place(name: str) -> bool:
    """Whether this is where a run or a version lies, and not somewhere else here."""
    parts = Path(name).parts
    if ".agentgym" not in parts or ".." in parts or Path(name).is_absolute():
        return False
    match parts[parts.index(".agentgym") + 1 :]:
        case ("runs", _):
            return True
        case ("agents", _, version):
            return bool(_VERSION.fullmatch(version))
    return False


def _put(arrived: Path, target: Path) -> Path:
    """Moves a run to its place; what was there is an earlier state of the same run."""
    if target.exists():
        shutil.rmtree(target)
    arrived.rename(target)
    return target


def _put_version(arrived: Path, target: Path, notes: list[str]) -> Path:
    """Moves a version to its place, or to the next free one if that is taken."""
    about = _read(arrived / _CARD)
    if _read(target / _CARD).get("created") == about.get("created") is not None:
        return _put(arrived, target)
    wanted = target
    while target.exists():
        match = _VERSION.fullmatch(target.name)
        assert match is not None
        target = target.with_name(f"v{match[1]}.{int(match[2]) + 1}")
    if target != wanted:
        about["version"] = target.name.removeprefix("v")
        write_json(arrived / _CARD, about)
        notes.append(
            f"{wanted.parent.name} has another {wanted.name} here: what came is "
            f"{target.name}"
        )
    arrived.rename(target)
    return target


def _name_places_here(run: Path, root: Path, there: str) -> None:
    """Has a run's files name the project by its folder here."""
    was, now = (json.dumps(text)[1:-1].encode() for text in (there, str(root)))
    for name in (SUMMARY, EPISODES, MEASURED):
        file = run / name
        if not file.is_file():
            continue
        part = file.with_name(f"{name}.part")
        with file.open("rb") as lines, part.open("wb") as rewritten:
            rewritten.writelines(line.replace(was, now) for line in lines)
        part.replace(file)


def _at_home(version: Path, root: Path, there: str) -> Iterator[str]:
    """Has a card name the base model by its path here."""
    about = _read(version / _CARD)
    base = about.get("base")
    if not isinstance(base, dict) or not str(base.get("spec")).startswith("/"):
        return
    spec = Path(str(base["spec"]))
    if spec.is_relative_to(there):
        here = root / spec.relative_to(there)
        base["spec"] = str(here)
        write_json(version / _CARD, about)
        config = _read(version / _CONFIG)
        if config.get("base_model_name_or_path") == str(spec):
            config["base_model_name_or_path"] = str(here)
            write_json(version / _CONFIG, config)
        spec = here
    if not spec.is_dir():
        yield (
            f"the base model of {version.parent.name} is not here: {spec}; copy it "
            f"there, or write its place into base.spec of the agent's {_CARD}"
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def agent_names(folders: Sequence[Path]) -> str:
    """Names and versions of agents, as they are loaded by.

    Args:
        folders: Of the versions.
    """
    return ", ".join(f"{each.parent.name}_{each.name}" for each in folders)
