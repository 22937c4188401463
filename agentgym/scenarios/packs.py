"""Scenario packs that are installed: those that come with agentgym, and others'."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from agentgym.distribution import DISTRIBUTION, __version__
from agentgym.errors import UsageError
from agentgym.scenarios.source import read_file, scenario_names

GROUP = "agentgym.scenarios"
"""Entry points: the name of a pack, and the package that its files are in."""
ABOUT = "pack.toml"
"""Says of a pack what its scenario files do not."""
_PACKS = "agentgym_packs"
"""The folder of the shipped packs in the installed package."""
_TEXTS = ("title", "cases", "example")
_KEYS = (*_TEXTS, "tools", "embedded")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioPack:
    """Scenario files with their environment, in one folder.

    Attributes:
        name: What `--agentgym-scenario` takes.
        folder: Where the files are.
        package: What the files are imported as.
        source: The distribution that it comes with, and its version.
        title: What it is about, in a few words.
        cases: Where its cases come from.
        tools: Names of the tools of its environment.
        embedded: Share of held-out episodes that the embedded policy passes, before
            it is trained; None if nobody says so.
        example: A function of the pack that makes its tools for a first conversation,
            as "helpdesk:example_tools"; empty if there is none.
    """

    name: str
    folder: Path
    package: str
    source: str
    title: str = ""
    cases: str = ""
    tools: tuple[str, ...] = ()
    embedded: float | None = None
    example: str = ""

    @property
    def scenarios(self) -> list[str]:
        """Node ids of its scenarios, as `test_refunds.py::test_damaged_item`.

        Raises:
            UsageError: A file is no valid Python.
        """
        return [
            f"{file.relative_to(self.folder).as_posix()}::{name}"
            for file in sorted(self.folder.rglob("test_*.py"))
            for name in scenario_names(read_file(file))
        ]

    def example_tools(self) -> list[Any]:
        """Its tools, on an environment for a first conversation; none without one.

        Raises:
            UsageError: They cannot be made.
        """
        if not self.example:
            return []
        module, _, function = self.example.partition(":")
        try:
            tools: list[Any] = getattr(self.module(module), function)()
        except Exception as error:  # noqa: BLE001 - whatever another's package raises
            why = f"{type(error).__name__}: {error}"
            raise UsageError(
                f"{self.example} of the scenario pack {self.name} made no tools: {why}"
            ) from None
        return tools

    def module(self, name: str) -> ModuleType:
        """Imports one of its modules, for scenarios of your own in its environment.

        Args:
            name: Such as "helpdesk".

        Raises:
            ImportError: There is no such module, or it cannot be imported.
        """
        package = self.package
        shipped = _shipped()
        if self.folder.parent == shipped:
            # It is no package that can be imported as it is, and a copy of it in the
            # project may have its name.
            above = ModuleType(_PACKS)
            above.__path__ = [str(shipped)]
            sys.modules.setdefault(_PACKS, above)
            package = f"{_PACKS}.{package}"
        return importlib.import_module(f"{package}.{name}")

    def copy(self, target: Path) -> None:
        """Copies the files into a new folder, to be edited.

        Args:
            target: The folder, which does not exist.

        Raises:
            UsageError: It exists, or cannot be made.
        """
        if target.exists():
            raise UsageError(f"{target} exists: name another folder, or remove it")
        ignored = shutil.ignore_patterns("__pycache__")
        try:
            shutil.copytree(self.folder, target, ignore=ignored)
        except OSError as error:
            raise UsageError(
                f"{target} cannot be made: {error.strerror or error}"
            ) from None


class ScenarioRegistry:
    """The packs that are installed, by their names.

    A package publishes one with an entry point of the group `agentgym.scenarios`: its
    name is the pack's, its value the package whose folder has the scenario files.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[str, Path | metadata.EntryPoint]]] = {}
        for file in sorted(_shipped().glob("*/conftest.py")):
            folder = file.parent
            self._add(folder.name, f"{DISTRIBUTION} {__version__}", folder)
        for point in metadata.entry_points(group=GROUP):
            by = point.dist
            source = "an unknown package" if by is None else f"{by.name} {by.version}"
            self._add(point.name, source, point)

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._found)

    def __iter__(self) -> Iterator[ScenarioPack]:
        """All packs that can be used; `get` says why another one cannot."""
        for name in self.names:
            try:
                yield self.get(name)
            except UsageError:
                continue

    def get(self, name: str) -> ScenarioPack:
        """The pack with this name.

        Args:
            name: As in `names`.

        Raises:
            UsageError: There is none, or more than one, or it is no good.
        """
        found = self._found.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self.names, 1)
            hint = f"did you mean {near[0]}?" if near else self._installed()
            raise UsageError(f"there is no scenario pack {name!r}: {hint}")
        if len(found) > 1:
            sources = " and ".join(source for source, _ in found)
            raise UsageError(
                f"the scenario pack {name} is in {sources}: uninstall one of them"
            )
        (source, place), *_ = found
        if isinstance(place, Path):
            return _read(name, place, source, package=name)
        return _read(name, _folder_of(place, source), source, package=place.value)

    def _installed(self) -> str:
        return f"installed are {', '.join(self.names)}"

    def _add(self, name: str, source: str, place: Path | metadata.EntryPoint) -> None:
        self._found.setdefault(name, []).append((source, place))


def _shipped() -> Path:
    """Where our own packs are: in the installed package, or in a checkout of it."""
    beside = Path(__file__).parents[2]
    installed = beside / _PACKS
    return installed if installed.is_dir() else beside / "scenarios"


def _folder_of(point: metadata.EntryPoint, source: str) -> Path:
    """The folder of a package, which is not imported for it; those above it are.

    Raises:
        UsageError: There is no such package.
    """
    what = f"the scenario pack {point.name} of {source}"
    try:
        spec = importlib.util.find_spec(point.value)
    except Exception as error:  # noqa: BLE001 - whatever another's package raises
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"{what} cannot be found: {why}") from None
    folders = list((spec and spec.submodule_search_locations) or ())
    if not folders:
        raise UsageError(
            f"{what} names {point.value}, which is no package: its entry point must "
            "name the package that the scenario files are in"
        )
    return Path(folders[0])


def _read(name: str, folder: Path, source: str, *, package: str) -> ScenarioPack:
    file = folder / ABOUT
    if not file.exists():
        return ScenarioPack(name=name, folder=folder, package=package, source=source)
    try:
        about: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    unknown = [key for key in about if key not in _KEYS]
    if unknown:
        known = ", ".join(_KEYS)
        raise UsageError(f"{file}: {unknown[0]}: no such key; there are {known}")
    tools, embedded = about.get("tools", []), about.get("embedded")
    for key in _TEXTS:
        if not isinstance(about.get(key, ""), str):
            raise UsageError(f"{file}: {key}: give a text")
    if not isinstance(tools, list) or not all(isinstance(each, str) for each in tools):
        raise UsageError(f"{file}: tools: give a list of names")
    number = isinstance(embedded, int | float) and not isinstance(embedded, bool)
    if embedded is not None and not (number and 0 <= embedded <= 1):
        raise UsageError(f"{file}: embedded: give a share from 0 to 1")
    return ScenarioPack(
        name=name,
        folder=folder,
        package=package,
        source=source,
        title=about.get("title", ""),
        cases=about.get("cases", ""),
        tools=tuple(tools),
        embedded=embedded,
        example=about.get("example", ""),
    )
