"""Claims rollouts from the hub and plays them, in place of pytest's run loop."""

from __future__ import annotations

import os
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from _pytest import assertion
from _pytest.outcomes import Exit, Skipped, XFailed

from agentgym.episode import Episode
from agentgym.errors import Outcome, UsageError
from agentgym.play import EpisodePlay
from agentgym.pool import EpisodePool, Finished, default_concurrency
from agentgym.training.runner_client import Claim, HubGone, RunnerClient
from pytest_agentgym.capture import split_output
from pytest_agentgym.collection import ScenarioItem
from pytest_agentgym.reports import EpisodeReport
from pytest_agentgym.run import RUN
from pytest_agentgym.training.catalogue import CannotSetUp, serialized, set_up
from pytest_agentgym.training.files import Failure, RunFiles
from pytest_agentgym.training.rollout import Rollout, RolloutMaker
from pytest_agentgym.training.shared_fixtures import share_fixtures
from pytest_agentgym.warning_filters import errors_as_warnings

POLL_SECONDS = 0.05
LONGEST_POLL = 0.25
"""Seconds between two questions for work while there is none."""


class Runner:
    """The run loop of a process that plays.

    Args:
        config: Of this process.
        files: The run's shared files.
    """

    def __init__(self, config: pytest.Config, files: RunFiles) -> None:
        self._config = config
        self.files = files
        self._worker = _XdistWorker.of(config)
        self._parent = os.getppid()

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
            if entry.info is not None
        ]
        if not played:
            return
        while (hub := self.files.hub()) is None:
            if self.ended(session):
                return
            time.sleep(POLL_SECONDS)
        client = RunnerClient(hub["url"], hub["key"], self._name)
        try:
            with _one_test(self._config, played[0]):
                _Loop(self, session, played, client).run()
        except HubGone:
            # The main process has ended, or is about to say that it does.
            return
        finally:
            client.close()

    @property
    def _name(self) -> str:
        worker = "main" if self._worker is None else self._worker.id
        return f"{worker}-{os.getpid()}"

    def ended(self, session: pytest.Session) -> bool:
        """Whether to play no further."""
        self._config.stash[RUN].check_stop()
        return bool(
            self.files.over
            or session.shouldstop
            or session.shouldfail
            or (self._worker is not None and os.getppid() != self._parent)
        )

    def report(
        self, session: pytest.Session, item: ScenarioItem, episodes: list[Episode]
    ) -> None:
        """Sends finished episodes to the main process."""
        if self._worker is not None:
            self._worker.running(session.items.index(item))
        report = EpisodeReport.of(item, episodes, 0)
        item.ihook.pytest_runtest_logreport(report=report)

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


class _Loop:
    """Claims as many rollouts as there is room for, and tells how they ended."""

    def __init__(
        self,
        runner: Runner,
        session: pytest.Session,
        items: list[ScenarioItem],
        client: RunnerClient,
    ) -> None:
        options = session.config.stash[RUN].options
        self._runner = runner
        self._session = session
        self._client = client
        self._items = {item.nodeid: item for item in items}
        self._make = RolloutMaker(items, client)
        self._room = options.concurrency or default_concurrency()
        self._waiting: dict[bool, deque[Rollout]] = {False: deque(), True: deque()}
        self._alone: deque[Rollout] = deque()
        self._rollouts: dict[str, Rollout] = {}
        self._capture = session.config.getoption("capture") != "no"
        self._next_poll = 0.0
        self._poll = POLL_SECONDS

    def run(self) -> None:
        """Plays until the training is over."""
        while not self._ended():
            if self._alone:
                self._play_alone()
            else:
                self._play_together()

    def _ended(self) -> bool:
        return self._runner.ended(self._session)

    def _play_together(self) -> None:
        """Plays many at a time, until one comes that has to be alone."""
        pools = {
            asynchronous: EpisodePool(
                self._taker(asynchronous),
                concurrency=self._room,
                asynchronous=asynchronous,
            )
            for asynchronous in (False, True)
        }
        try:
            with split_output(self._capture):
                while not self._ended() and (self._rollouts or not self._alone):
                    self._claim(pools)
                    self._settle(self._collect(pools))
        finally:
            for pool in pools.values():
                pool.stop()

    def _play_alone(self) -> None:
        """Plays those that change the whole process, one after another."""
        rollout = self._alone.popleft()
        self._rollouts[rollout.id] = rollout
        plays = deque([self._make.play(rollout)])
        pool = EpisodePool(
            lambda: plays.popleft() if plays else None,
            concurrency=1,
            asynchronous=rollout.item.asynchronous,
        )
        pool.start()
        try:
            while self._rollouts and not self._ended():
                self._settle(pool.collect())
        finally:
            pool.stop()

    def _taker(self, asynchronous: bool) -> Callable[[], EpisodePlay | None]:
        waiting = self._waiting[asynchronous]

        def take() -> EpisodePlay | None:
            return self._make.play(waiting.popleft()) if waiting else None

        return take

    def _claim(self, pools: dict[bool, EpisodePool]) -> None:
        room = self._room - len(self._rollouts)
        now = time.monotonic()
        if room <= 0 or self._alone or now < self._next_poll:
            return
        claims = self._client.claim(room)
        self._poll = POLL_SECONDS if claims else min(2 * self._poll, LONGEST_POLL)
        self._next_poll = now if claims else now + self._poll
        for claim in claims:
            self._accept(claim, pools)

    def _accept(self, claim: Claim, pools: dict[bool, EpisodePool]) -> None:
        item = self._items.get(claim.task.scenario)
        if item is None:
            self._client.fail(
                claim, 0, Outcome.harness_error, "no such scenario was collected"
            )
            return
        rollout = self._make.rollout(claim, item)
        if item.one_at_a_time:
            self._alone.append(rollout)
            return
        self._rollouts[rollout.id] = rollout
        self._waiting[item.asynchronous].append(rollout)
        pools[item.asynchronous].start()

    def _collect(self, pools: dict[bool, EpisodePool]) -> list[Finished]:
        """What finished in any pool; waits a tick for it."""
        kinds = {rollout.item.asynchronous for rollout in self._rollouts.values()}
        if not kinds:
            time.sleep(POLL_SECONDS)
        return [finished for kind in kinds for finished in pools[kind].collect()]

    def _settle(self, finished: list[Finished]) -> None:
        """Tells the hub and the main process what came of the episodes."""
        episodes: dict[ScenarioItem, list[Episode]] = defaultdict(list)
        ended: list[_Ended] = []
        for play, episode in finished:
            rollout = self._rollouts.pop(play.id)
            if play.control is not None:
                self._end_training(rollout, play.control)
            elif episode is not None:
                ended.append(_Ended(rollout, play, episode))
                episodes[rollout.item].append(episode)
        # What the trainer hears of is in the run's file already, or on its way there.
        for item, batch in episodes.items():
            self._runner.report(self._session, item, batch)
        for each in ended:
            each.tell(self._client)
        if finished:
            # Room for more is taken at once.
            self._next_poll = 0.0

    def _end_training(self, rollout: Rollout, control: BaseException) -> None:
        name = rollout.item.nodeid
        if isinstance(control, UsageError):
            failure = Failure(kind="usage", text=str(control))
        elif isinstance(control, Exit):
            failure = Failure(kind="exit", text=str(control))
        elif isinstance(control, Skipped | XFailed):
            function = "skip" if isinstance(control, Skipped) else "xfail"
            text = (
                f"{name}: pytest.{function}() in an episode leaves nothing to train "
                "on: mark the scenario with pytest.mark.skip, or leave it out with -k"
            )
            failure = Failure(kind="usage", text=text)
        elif isinstance(control, KeyboardInterrupt):
            raise control
        else:
            text = "".join(traceback.format_exception(control))
            failure = Failure(kind="internal", text=f"{name}: {text}")
        self._runner.files.write_failure(failure)


class _Ended:
    """An episode that ended, for the hub."""

    def __init__(self, rollout: Rollout, play: EpisodePlay, episode: Episode) -> None:
        self.claim = rollout.claim
        self.episode = episode
        self.attempt = play.attempts - 1
        task = self.claim.task
        episode.phase, episode.repeat = task.phase, task.repeat
        reward = episode.reward
        rollout.item.ihook.pytest_agentgym_reward_computed(
            item=rollout.item, episode=episode
        )
        # A hook that changed the episode's reward has the last word.
        self.steps = play.steps if episode.reward == reward else None

    def tell(self, client: RunnerClient) -> None:
        """Tells the hub what came of it."""
        episode = self.episode
        if not episode.counted:
            error = episode.error or "no error was given"
            client.fail(self.claim, self.attempt, episode.outcome, error)
            return
        client.finish(
            self.claim,
            self.attempt,
            reward=episode.reward,
            passed=episode.outcome is Outcome.passed,
            steps=self.steps,
        )


class _XdistWorker:
    """What xdist has to be told by hand, as its own run loop does not run.

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
