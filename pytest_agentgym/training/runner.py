"""Claims rollouts from the hub and plays them, in place of pytest's run loop."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from _pytest import assertion
from _pytest.outcomes import Exit

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.training.hub.runner_client import HubGone, RunnerClient
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.play.episode_report import EpisodeReport, sent_home
from pytest_agentgym.play.keeping_secrets import look_for_secrets
from pytest_agentgym.play.run_context import RUN, captures
from pytest_agentgym.play.warning_filters import errors_as_warnings
from pytest_agentgym.training.catalogue import (
    CannotSetUp,
    is_expected_to_fail,
    serialized,
    set_up,
)
from pytest_agentgym.training.claims import POLL_SECONDS, ClaimLoop
from pytest_agentgym.training.shared_files import Failure, SharedFiles
from pytest_agentgym.training.shared_fixtures import share_fixtures


class Runner:
    """The run loop of a process that plays.

    Args:
        config: Of this process.
        files: The run's shared files.
        machine: This machine's name, where runners are on several.

    Attributes:
        gone: What happened to the hub, if it went away before it was over.
        between: Called now and then, while nothing that is played needs this thread.
    """

    def __init__(
        self, config: pytest.Config, files: SharedFiles, machine: str = ""
    ) -> None:
        self._config = config
        self._machine = machine
        self.files = files
        self._worker = _XdistWorker.of(config)
        self._parent = os.getppid()
        self.gone: str | None = None
        self.between: Callable[[], None] = lambda: None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves ordinary tests out."""
        others = [item for item in items if not isinstance(item, ScenarioItem)]
        if others:
            self._config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if isinstance(item, ScenarioItem)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Plays until the training is over."""
        distributes = self._config.pluginmanager.has_plugin("dsession")
        if self._config.option.collectonly or distributes:
            return None
        forgiven = self._config.option.continue_on_collection_errors
        if session.testsfailed and not forgiven:
            text = f"{session.testsfailed} errors during collection"
            self.files.write_failure(Failure(kind="collection", text=text))
            return None
        items = [item for item in session.items if isinstance(item, ScenarioItem)]
        share_fixtures(session, items)
        try:
            self._play(session, items)
        except CannotSetUp as exc:
            self.files.write_failure(exc.failure)
        except UsageError as exc:
            self.files.write_failure(Failure(kind="usage", text=str(exc)))
        except (KeyboardInterrupt, Exit):
            raise
        except BaseException:  # noqa: BLE001 - the main process raises it again
            text = traceback.format_exc()
            self.files.write_failure(Failure(kind="internal", text=text))
        self._tear_down(session, items)
        # xdist's own loop waits for the main process's word to end.
        return None if self._worker else True

    def _play(self, session: pytest.Session, items: list[ScenarioItem]) -> None:
        entries = set_up(items)
        self.files.write_catalogue([entry.to_json() for entry in entries])
        played = [
            item
            for item, entry in zip(items, entries, strict=True)
            if entry.info is not None or is_expected_to_fail(item)
        ]
        if not played:
            return
        look_for_secrets(played)
        while (hub := self.files.hub()) is None:
            if self.ended(session):
                return
            time.sleep(POLL_SECONDS)
        options = self._config.stash[RUN].options
        client = RunnerClient(
            hub["url"], hub["key"], self._name, elsewhere=bool(self._machine)
        )
        try:
            with _one_test(self._config, played[0]):
                ClaimLoop(
                    played,
                    client,
                    room=options.concurrency or hub["in_flight"],
                    capture=captures(self._config),
                    ended=partial(self.ended, session),
                    report=partial(self.report, session),
                    fail=self.files.write_failure,
                    send=_sent if self._machine else None,
                    draining=lambda: self.files.draining,
                ).run()
        except HubGone as exc:
            # The main process has ended, or is about to say that it does.
            self.gone = str(exc)
            return
        finally:
            client.close()

    @property
    def _name(self) -> str:
        if self._machine:
            # All of it before the hyphen: runners that ask alike want the same work.
            return f"{self._machine.replace('-', '.')}.{os.getpid()}-"
        worker = "main" if self._worker is None else self._worker.id
        return f"{worker}-{os.getpid()}"

    def ended(self, session: pytest.Session) -> bool:
        """Whether to play no further."""
        self._config.stash[RUN].check_stop()
        self.between()
        return bool(
            self.files.over
            or session.shouldstop
            or session.shouldfail
            or (self._worker is not None and os.getppid() != self._parent)
        )

    def report(
        self, session: pytest.Session, item: ScenarioItem, episodes: list[Episode]
    ) -> list[Episode]:
        """Sends finished episodes to the main process.

        Args:
            session: pytest's session.
            item: The scenario that they are of.
            episodes: In the order in which they finished.

        Returns:
            The same as they are stored: plain values, secrets masked.
        """
        if self._worker is not None:
            self._worker.running(session.items.index(item))
        report = EpisodeReport.of(item, episodes, 0, one_case=item.one_case)
        stored = report.episodes
        item.ihook.pytest_runtest_logreport(report=report)
        return stored

    def _tear_down(self, session: pytest.Session, items: list[ScenarioItem]) -> None:
        """Tears all scenarios down."""
        if not items:
            return
        call = pytest.CallInfo.from_call(
            lambda: session._setupstate.teardown_exact(None),
            when="teardown",
            reraise=(Exit, KeyboardInterrupt),
        )
        if call.excinfo is None:
            return
        item = items[-1]
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        self.files.write_failure(
            Failure(
                kind="teardown",
                text=report.longreprtext,
                report=serialized(item, report),
            )
        )


def _sent(item: ScenarioItem, episode: Episode) -> dict[str, Any]:
    return sent_home(item, episode, one_case=item.one_case)


class _XdistWorker:
    """What xdist has to know by hand, as its own run loop does not run.

    Args:
        interactor: xdist's plugin in the worker.
    """

    def __init__(self, interactor: Any) -> None:
        self._interactor = interactor

    @classmethod
    def of(cls, config: pytest.Config) -> _XdistWorker | None:
        """This process's worker; None in the main process."""
        if not hasattr(config, "workerinput"):
            return None
        for plugin in config.pluginmanager.get_plugins():
            # Its module is executed in the worker under another name.
            if type(plugin).__name__ == "WorkerInteractor":
                return cls(plugin)
        return None

    @property
    def id(self) -> str:
        """Such as gw0."""
        return str(self._interactor.workerid)

    def running(self, index: int) -> None:
        """Reports are about the item at this index from now on."""
        self._interactor.item_index = index


@contextmanager
def _one_test(config: pytest.Config, item: ScenarioItem) -> Iterator[None]:
    """What pytest and its plugins switch on while a test runs."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    with ExitStack() as stack:
        # Explains comparisons in asserts; it needs an item for its hooks only.
        stack.enter_context(contextmanager(assertion.pytest_runtest_protocol)(item))
        stack.enter_context(errors_as_warnings())
        if capture is not None:
            capture.resume_global_capture()
            stack.callback(capture.read_global_capture)
            stack.callback(capture.suspend_global_capture, in_=False)
        yield
