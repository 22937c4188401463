"""What a run was made of, for its `summary.json`: see `agentgym reproduce`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.errors import UsageError
from agentgym.runs.again.surroundings import code_of_project, digests, machine
from pytest_agentgym.collect.policy import POLICY
from pytest_agentgym.play.keeping_secrets import secrets_of
from pytest_agentgym.play.options import PLAY_OPTIONS

if TYPE_CHECKING:
    from agentgym.runs.summary_json import OriginJson, SampledJson

_FILES = "agentgym_files"


class RunOrigin:
    """Notes what a process has imported of the project; workers tell the main one.

    Args:
        config: Of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._workers = 0
        self._files: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Tells the main process what a worker has imported."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_FILES] = code_of_project(self._config.rootpath)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes in what a worker has imported; one that died does not say it."""
        self._workers += 1
        self._files |= getattr(node, "workeroutput", {}).get(_FILES, {})

    def to_json(self, policy: str | None) -> OriginJson:
        """The `origin` of `summary.json`.

        Args:
            policy: What the agent was seen to ask, as the summary has it.
        """
        config, secrets = self._config, secrets_of(self._config)
        root = config.rootpath
        settings = [] if config.inipath is None else [config.inipath]
        arguments = [str(argument) for argument in config.invocation_params.args]
        addopts = os.environ.get("PYTEST_ADDOPTS", "")
        if secrets is not None:
            arguments = [secrets.text(argument) for argument in arguments]
            addopts = secrets.text(addopts)
        return {
            "arguments": arguments,
            "addopts": addopts,
            "folder": os.path.relpath(config.invocation_params.dir, root),
            "workers": self._workers,
            "in_flight": config.stash[PLAY_OPTIONS].concurrency,
            "machine": machine(),
            "files": code_of_project(root) | self._files | digests(root, settings),
            "sampled": None if policy is None else self._sampled(),
        }

    def _sampled(self) -> SampledJson | None:
        # A model that was moved or removed meanwhile costs the run nothing.
        with suppress(UsageError, OSError):
            return self._config.stash[POLICY].sampled()
        return None


ORIGIN = pytest.StashKey[RunOrigin]()


def note_origin(config: pytest.Config) -> None:
    """Has this process's part of the run's origin noted."""
    config.stash[ORIGIN] = origin = RunOrigin(config)
    config.pluginmanager.register(origin, "agentgym-origin")
