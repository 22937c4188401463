"""A scenario pack that is named, not pointed at: `--agentgym-scenario NAME`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentgym.errors import UsageError
from agentgym.scenarios.packs import ScenarioPack, ScenarioRegistry


class CollectedPack:
    """Collects the files of a pack, wherever it is installed.

    Args:
        pack: The pack.
    """

    def __init__(self, pack: ScenarioPack) -> None:
        self._pack = pack

    def file_of(self, nodeid: str) -> Path:
        """Where a file of the pack, or of what is in it, really is.

        Args:
            nodeid: As `pytest_pycollect_makemodule` makes it.
        """
        inner = nodeid.partition("::")[0].removeprefix(f"{self._pack.name}/")
        return self._pack.folder / inner

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Names a file after the pack: pytest would leave out all but the file."""
        if not module_path.is_relative_to(self._pack.folder):
            return None
        inner = module_path.relative_to(self._pack.folder).as_posix()
        module: pytest.Module = pytest.Module.from_parent(
            parent, path=module_path, nodeid=f"{self._pack.name}/{inner}"
        )
        return module


def add_pack(config: pytest.Config, args: list[str]) -> None:
    """Has pytest collect the pack that is asked for.

    It comes after pytest has chosen its root folder, which it would choose by the
    paths: results belong where the user is, not beside what is installed.

    Args:
        config: Before the conftest files are loaded.
        args: Of the command line; gets the pack's folder.

    Raises:
        pytest.UsageError: There is no such pack, or it cannot be run so.
    """
    known = config.known_args_namespace
    name, *others = known.agentgym_scenario
    option = f"--agentgym-scenario {name}"
    if not known.agentgym:
        raise pytest.UsageError(
            f"{option} names scenarios for agentgym to run: add --agentgym"
        )
    # The fixtures of a folder outside of the project are seen everywhere.
    beside = [*others, *known.file_or_dir]
    if beside:
        raise pytest.UsageError(
            f"{option} runs a pack by itself: leave out {', '.join(beside)}, or copy "
            f"the pack into the project with: agentgym scenarios copy {name}"
        )
    try:
        pack = ScenarioRegistry().get(name)
    except UsageError as error:
        raise pytest.UsageError(f"{option}: {error}") from None
    args.append(str(pack.folder))
    # Of these the conftest files are loaded, what is last before what is first: the
    # project's agent takes the place of the pack's.
    known.file_or_dir.extend((str(pack.folder), str(config.rootpath)))
    config.pluginmanager.register(CollectedPack(pack), "agentgym-pack")
