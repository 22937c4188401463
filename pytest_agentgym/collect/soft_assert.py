"""Makes the asserts of scenario files checks: a finder of our own.

pytest's own rewriting hook is neither patched nor asked: the two would share cached
files. A scenario file is read here, its checks are wrapped in try/except, and then
pytest's `rewrite_asserts` gives every assert its introspection, as usual.
"""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import agentgym
from agentgym.scenarios.check_log import FunctionChecks
from pytest_agentgym.collect.check_pass import EXCEPTION, JUDGES
from pytest_agentgym.collect.scenario_code import ScenarioCode

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class SoftAssertFinder(importlib.abc.MetaPathFinder):
    """Claims scenario files; every other file is left to the finders after it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._session: pytest.Session | None = None

    @property
    def introspect(self) -> bool:
        """Whether pytest rewrites asserts in this run; not with `-p no:assertion`."""
        # Set before the options, which initial conftests come before.
        mode = getattr(self.config.known_args_namespace, "assertmode", "plain")
        return bool(mode == "rewrite")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Learns from whom to ask what `--pyargs` names."""
        self._session = session

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Claims the module if its file is a scenario file.

        Args:
            name: The module's full name.
            path: The folders of the package that it is in, if any.
            target: Unused: what is reloaded is found as what is loaded.
        """
        if name.rpartition(".")[2] == "conftest":
            return None
        if path and all(
            _foreign(folder) and not self._named(folder) for folder in path
        ):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if (
            spec is None
            or spec.origin is None
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
            or not self._may_claim(Path(spec.origin))
        ):
            return None
        code = ScenarioCode.read(Path(spec.origin), introspect=self.introspect)
        if code is None:
            return None
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=ScenarioLoader(name, spec.origin, code, self.config),
            submodule_search_locations=spec.submodule_search_locations,
        )

    def _may_claim(self, path: Path) -> bool:
        """Whether it is a file of the project, or lies beside one that was named."""
        if _foreign(str(path)):
            return self._named(str(path))
        if path.is_relative_to(self.config.rootpath) or path.name.startswith("test"):
            return True
        here = self.config.invocation_params.dir
        named = (here / str(arg).partition("::")[0] for arg in self.config.args)
        return any(path.is_relative_to(_folder(place)) for place in named)

    def _named(self, path: str) -> bool:
        """Whether it is installed, and in what the command line names itself."""
        if self._session is None or Path(path).is_relative_to(_OWN):
            return False
        # Not all that is installed below a folder of the project, as in its `.venv`.
        return any(
            _foreign(str(place)) and Path(path).is_relative_to(_folder(place))
            for place in self._session._initialpaths
        )


class ScenarioLoader(importlib.machinery.SourceFileLoader):
    """Runs a scenario file's code with its judges in reach."""

    def __init__(
        self, name: str, path: str, code: ScenarioCode, config: pytest.Config
    ) -> None:
        super().__init__(name, path)
        self._code = code
        self._config = config

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module.

        Raises:
            UsageError: A weight() or must() is written wrongly; says where.
        """
        code, specs = self._code.ready or self._code.compile(self._config)
        module.__dict__[JUDGES] = [FunctionChecks(function) for function in specs]
        module.__dict__[EXCEPTION] = builtins.Exception
        exec(code, module.__dict__)  # noqa: S102 - this is how modules are run


def _foreign(path: str) -> bool:
    """Whether the file or folder is installed, or the library itself."""
    place = Path(path)
    return not _INSTALLED.isdisjoint(place.parts) or place.is_relative_to(_OWN)


def _folder(place: Path) -> Path:
    return place.parent if place.suffix == ".py" else place


_OWN = Path(agentgym.__file__).parent


def install(config: pytest.Config) -> SoftAssertFinder:
    """Puts the finder before pytest's own, once."""
    for installed in sys.meta_path:
        if isinstance(installed, SoftAssertFinder) and installed.config is config:
            return installed
    finder = SoftAssertFinder(config)
    sys.meta_path.insert(0, finder)
    config.pluginmanager.register(finder, "agentgym-soft-assert")
    return finder


def uninstall() -> None:
    """Takes the finder away."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, SoftAssertFinder)]
