"""Where trained agents are: `.agentgym/agents/<name>/v<major>.<minor>/`."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from agentgym.distribution import __version__
from agentgym.errors import UsageError
from agentgym.policy.folders.adapter_folder import CONFIG, WEIGHTS, check_adapter
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.hub_cache import hub_model
from agentgym.policy.folders.hub_download import find_hub_model
from agentgym.policy.folders.others.validator import CARD_FORMAT, read_said
from agentgym.policy.folders.weights_digest import weights_digest
from agentgym.runs.files.held_folder import HeldFolder
from agentgym.runs.files.store import write_json

AGENTS = Path(".agentgym", "agents")
CARD = "agent.json"
_SAVING = ".saving-"
"""What the name of a version begins with that is being written."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_NUMBER = "([0-9]{1,9})"
_REF = re.compile(rf"(.+)_v{_NUMBER}\.{_NUMBER}")
_VERSION = re.compile(rf"v{_NUMBER}\.{_NUMBER}")
_PACKAGES = ("torch", "transformers", "peft", "agentlightning")


class Version(NamedTuple):
    """A saved agent's version: the major one says what it is made of."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def check_name(name: str) -> None:
    """Checks that a trained agent can have this name.

    Raises:
        UsageError: It cannot; the message says why.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be an agent's name: use at most 100 letters, digits, "
            '"_", "-" and, inside, "."'
        )
    if re.search(r"_v\d+(\.\d+)?$", name):
        raise UsageError(
            f"{name!r} cannot be an agent's name: it ends like a version, and versions "
            "are counted by agentgym"
        )
    if name == "embedded":
        raise UsageError(
            "'embedded' cannot be an agent's name: it is the model that comes with "
            "agentgym"
        )


def base_folder(base: dict[str, Any]) -> Path:
    """The folder of the base model that an agent's card names.

    Args:
        base: `spec`, which is "embedded", a folder, or a model of the Hugging Face hub
            if there is a `revision`, too: a commit, which is downloaded if need be.

    Raises:
        UsageError: The hub's model cannot be had.
    """
    spec, revision = base["spec"], base.get("revision")
    if revision is not None:
        if not _HUB_NAME.fullmatch(spec):
            raise UsageError(f"{spec!r} is no name of a model of the Hugging Face hub")
        return find_hub_model(f"{spec}@{revision}").folder
    return embedded_path() if spec == "embedded" else Path(spec).expanduser()


def base_entry(folder: Path) -> dict[str, Any]:
    """What an agent's card says of its base model: see `base_folder`.

    Args:
        folder: Of the base model.
    """
    if folder.resolve() == embedded_path().resolve():
        return {"spec": "embedded"}
    model = hub_model(folder)
    if model is not None:
        return {"spec": model.name, "revision": model.revision}
    return {"spec": str(folder)}


def save_agent(root: Path, name: str, adapter: Path, card: dict[str, Any]) -> Path:
    """Saves an adapter and what is to be known of it as an agent's next version.

    The version counts up its minor number as long as the base model and the set of
    scenarios stay the same. It appears at once and whole, or not at all.

    Args:
        root: The project: the folder that has, or gets, `.agentgym`.
        name: The agent's name.
        adapter: Folder that peft wrote.
        card: `base` as `base_entry` gives it, `scenarios [{scenario, ...}]` and
            whatever else belongs into `agent.json`.

    Returns:
        The version's folder.

    Raises:
        UsageError: The name or the adapter cannot be used, or the folder not written.
    """
    check_name(name)
    check_adapter(adapter)
    card = _completed(card)
    home = root.absolute() / AGENTS / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        with HeldFolder(home, _SAVING) as held:
            part = held / "version"
            part.mkdir()
            for file in (CONFIG, WEIGHTS):
                shutil.copyfile(adapter / file, part / file)
                _flush(part / file)
            return _publish(home, part, name, card)
    except OSError as error:
        raise UsageError(
            f"the trained agent cannot be saved in {home}: {error.strerror or error}"
        ) from error


def saved_already(root: Path, name: str, facts: Mapping[str, Any]) -> Path | None:
    """The version of an agent whose card has all these facts.

    Args:
        root: The project.
        name: The agent's name.
        facts: Fields of its card.
    """
    for folder in versions(root.absolute() / AGENTS / name).values():
        with suppress(OSError, ValueError):
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            if isinstance(card, dict) and card.items() >= facts.items():
                return folder
    return None


def add_to_card(agent: Path, facts: Mapping[str, Any]) -> None:
    """Adds to what a saved agent's card says.

    Args:
        agent: The version's folder.
        facts: What is added; a card that cannot be written stays as it is.
    """
    file = agent / CARD
    with suppress(OSError, ValueError, UsageError):
        write_json(file, {**read_said(agent, CARD), **facts})


def _completed(card: dict[str, Any]) -> dict[str, Any]:
    base = dict(card["base"])
    folder = base_folder(base)
    if base["spec"] != "embedded" and base.get("revision") is None:
        base["spec"] = str(folder.resolve())
    if not base.get("digest"):
        base["digest"] = weights_digest(folder)
    versions = {"agentgym": __version__}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"versions": versions, **card, "base": base}


def _publish(home: Path, part: Path, name: str, card: dict[str, Any]) -> Path:
    while True:
        version = _next_version(home, card)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        about = {"format": CARD_FORMAT, "name": name, "version": str(version)}
        text = json.dumps(about | {"created": created} | card, indent=2) + "\n"
        (part / CARD).write_text(text, encoding="utf-8")
        _flush(part / CARD)
        _flush(part)
        target = home / f"v{version}"
        try:
            part.rename(target)
        except OSError as error:
            # Another process has just saved a version.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue
        _flush(home)
        return target


def _next_version(home: Path, card: dict[str, Any]) -> Version:
    existing = versions(home)
    if not existing:
        return Version(1, 0)
    newest = max(existing)
    with suppress(UsageError):
        last = read_said(existing[newest], CARD)
        if _made_of(last) == _made_of(card):
            return Version(newest.major, newest.minor + 1)
    return Version(newest.major + 1, 0)


def _made_of(card: dict[str, Any]) -> tuple[str, set[str]]:
    return card["base"]["digest"], {s["scenario"] for s in card.get("scenarios", ())}


def _flush(path: Path) -> None:
    """Has a file or a folder written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Finding.


def versions(home: Path) -> dict[Version, Path]:
    """The versions in an agent's folder; what a save has left half-written is none."""
    existing = {}
    # No path has a null byte.
    with suppress(OSError, ValueError):
        for folder in home.iterdir():
            match = _VERSION.fullmatch(folder.name)
            if match and folder.is_dir():
                existing[Version(int(match[1]), int(match[2]))] = folder
    return existing


def is_agent(ref: str | Path, root: Path | None = None) -> bool:
    """Whether this names a trained agent, though perhaps not an existing version.

    Args:
        ref: A name, with or without a version, or a path.
        root: Names are looked up in this folder and those above it; by default in the
            current one.
    """
    path = Path(ref).expanduser()
    if os.path.isfile(path / CARD) or _versions_at(path):
        return True
    return _is_name(ref) and _home(_parse(str(ref))[0], root) is not None


def find_agent(ref: str | Path, root: Path | None = None) -> Path:
    """Finds a version's folder.

    Args:
        ref: A name with a version, a name for its latest version, or a path.
        root: Names are looked up in this folder and those above it; by default in the
            current one.

    Raises:
        UsageError: There is none.
    """
    path = Path(ref).expanduser()
    if os.path.isfile(path / CARD):
        return path
    by_path = _versions_at(path)
    if by_path:
        return by_path[max(by_path)]
    if not _is_name(ref):
        what = f"it has no {CARD}" if os.path.isdir(path) else "there is no such folder"
        raise UsageError(f"{path} is no trained agent: {what}")
    name, version = _parse(str(ref))
    home = _home(name, root)
    if home is None:
        known = sorted(saved_agents(root))
        near = difflib.get_close_matches(str(ref), known, 1)
        others = f"there is {', '.join(known)}" if known else "none is saved yet"
        raise UsageError(
            f"there is no trained agent {str(ref)!r} in {AGENTS} of "
            f"{root or Path.cwd()} or a folder above it: "
            + (f"did you mean {near[0]}?" if near else others)
        )
    existing = versions(home)
    if version is None:
        return existing[max(existing)]
    if version not in existing:
        known = [f"{name}_v{v}" for v in sorted(existing)]
        raise UsageError(
            f"the trained agent {name!r} has no version {version}: "
            f"there is {', '.join(known)}"
        )
    return existing[version]


def saved_agents(root: Path | None = None) -> dict[str, Path]:
    """Folders of all versions that `find_agent` finds by name, by name and version.

    Args:
        root: Names are looked up in this folder and those above it; by default in the
            current one.
    """
    found: dict[str, Path] = {}
    for folder in _homes(root):
        homes: list[Path] = []
        with suppress(OSError):
            homes = sorted(folder.iterdir())
        for home in filter(_can_be_home, homes):
            # What is nearer hides all versions of the same name above it.
            if not any(name.rpartition("_v")[0] == home.name for name in found):
                existing = versions(home)
                found |= {f"{home.name}_v{v}": existing[v] for v in sorted(existing)}
    return found


def delete_version(folder: Path) -> None:
    """Deletes a version, and its agent's folder with the last one.

    Args:
        folder: The version's.

    Raises:
        UsageError: It cannot be deleted.
    """
    # Renamed first: what is half deleted must not be found.
    doomed = folder.with_name(f".{folder.name}.deleted")
    try:
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be deleted: {error.strerror or error}"
        ) from None


def _versions_at(path: Path) -> dict[Version, Path]:
    """The versions in a folder that may as well have nothing to do with agents."""
    existing = versions(path)
    return {v: folder for v, folder in existing.items() if (folder / CARD).is_file()}


def _is_name(ref: str | Path) -> bool:
    return isinstance(ref, str) and bool(_NAME.fullmatch(ref))


def _can_be_home(folder: Path) -> bool:
    """Whether a folder has a name that an agent can have."""
    return bool(_NAME.fullmatch(folder.name))


def _parse(ref: str) -> tuple[str, Version | None]:
    match = _REF.fullmatch(ref)
    if match is None:
        return ref, None
    return match[1], Version(int(match[2]), int(match[3]))


def _homes(root: Path | None) -> Iterator[Path]:
    start = (root or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        yield folder / AGENTS


def _home(name: str, root: Path | None) -> Path | None:
    return next((h / name for h in _homes(root) if versions(h / name)), None)
