"""Claims rollouts from the hub, plays them, and reports how they ended."""

from __future__ import annotations

import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from _pytest.outcomes import Exit, XFailed

from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.playing.play import EpisodePlay
from agentgym.playing.pool import EpisodePool, Finished
from agentgym.recording.blame import Outcome
from agentgym.training.hub.rollout_result import SKIPPED
from agentgym.training.hub.runner_client import Claim, RunnerClient
from agentgym.training.job.traits import Traits, traits_of
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.play.capture import split_output
from pytest_agentgym.play.stage import SKIPS, skip_reason
from pytest_agentgym.training.rollout import Rollout, RolloutMaker
from pytest_agentgym.training.shared_files import Failure

POLL_SECONDS = 0.05
MOST_SKIPS = 32
"""Skips of a scenario of which nothing was played that end a training."""
LONGEST_POLL = 0.25
"""Seconds between two questions for work while there is none."""


class ClaimLoop:
    """Claims as many rollouts as there is room for, until the training is over.

    Args:
        items: The scenarios that can be played.
        client: The connection to the hub.
        room: The most episodes in flight.
        capture: Whether each episode's output is kept apart.
        ended: Whether to play no further.
        report: Sends finished episodes of a scenario to the main process, and returns
            them as they are stored.
        fail: Ends the training.
        send: What the hub gets of an episode that is stored where the run is, and not
            here; None where that is the same machine.
        draining: Whether nothing more is to be claimed.
    """

    def __init__(
        self,
        items: Sequence[ScenarioItem],
        client: RunnerClient,
        *,
        room: int,
        capture: bool,
        ended: Callable[[], bool],
        report: Callable[[ScenarioItem, list[Episode]], list[Episode]],
        fail: Callable[[Failure], None],
        send: Callable[[ScenarioItem, Episode], dict[str, Any]] | None = None,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._draining = draining
        self._client = client
        self._room = room
        self._capture = capture
        self._ended = ended
        self._report = report
        self._fail = fail
        self._send = send
        self._items = {item.nodeid: item for item in items}
        self._make = RolloutMaker(client)
        self._waiting: dict[bool, deque[Rollout]] = {False: deque(), True: deque()}
        self._alone: deque[Rollout] = deque()
        self._rollouts: dict[str, Rollout] = {}
        # None once an episode was played.
        self._skipped: dict[str, int | None] = {}
        self._next_poll = 0.0
        self._poll = POLL_SECONDS

    def run(self) -> None:
        """Plays until the training is over."""
        while not self._done():
            if self._alone:
                self._play_alone()
            else:
                self._play_together()

    def _done(self) -> bool:
        """Whether to play no further."""
        left = self._rollouts or self._alone
        return self._ended() or (not left and self._draining())

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
                while not self._done() and (self._rollouts or not self._alone):
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
            asynchronous=rollout.item.in_loop,
        )
        pool.start()
        try:
            while self._rollouts and not self._ended():
                self._client.be_heard()
                self._settle(pool.collect())
        finally:
            pool.stop()

    def _taker(self, asynchronous: bool) -> Callable[[], EpisodePlay | None]:
        waiting = self._waiting[asynchronous]

        def take() -> EpisodePlay | None:
            return self._make.play(waiting.popleft()) if waiting else None

        return take

    def _claim(self, pools: dict[bool, EpisodePool]) -> None:
        self._client.be_heard()
        room = self._room - len(self._rollouts)
        now = time.monotonic()
        if room <= 0 or self._alone or now < self._next_poll or self._draining():
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
        self._waiting[item.in_loop].append(rollout)
        pools[item.in_loop].start()

    def _collect(self, pools: dict[bool, EpisodePool]) -> list[Finished]:
        """What finished in any pool; waits a tick for it."""
        kinds = {rollout.item.in_loop for rollout in self._rollouts.values()}
        if not kinds:
            time.sleep(POLL_SECONDS)
        return [finished for kind in kinds for finished in pools[kind].collect()]

    def _settle(self, finished: list[Finished]) -> None:
        """Reports what came of the episodes to the hub and the main process."""
        ended: dict[ScenarioItem, list[_Ended]] = defaultdict(list)
        for play, episode in finished:
            rollout = self._rollouts.pop(play.id)
            if isinstance(play.control, SKIPS) and not self._never_played(rollout):
                text = f"{SKIPPED}{skip_reason(play.control)}"
                last = play.attempts - 1
                self._client.fail(rollout.claim, last, Outcome.harness_error, text)
            elif play.control is not None:
                self._end_training(rollout, play.control)
            elif episode is not None:
                self._skipped[rollout.item.nodeid] = None
                ended[rollout.item].append(_Ended(rollout, play, episode))
        # What the trainer hears of is in the run's file already, or on its way there.
        for item, batch in ended.items():
            stored = self._report(item, [each.episode for each in batch])
            for each, kept in zip(batch, stored, strict=True):
                each.traits = traits_of(kept)
                if self._send is not None:
                    each.sent = self._send(item, kept)
        for each in chain.from_iterable(ended.values()):
            each.report_to(self._client)
        if finished:
            # Room for more is taken at once.
            self._next_poll = 0.0

    def _never_played(self, rollout: Rollout) -> bool:
        """Counts a skip; whether the scenario seems to skip each of its cases."""
        name = rollout.item.nodeid
        skips = self._skipped.setdefault(name, 0)
        if skips is None:
            return False
        self._skipped[name] = skips + 1
        return skips + 1 >= MOST_SKIPS

    def _end_training(self, rollout: Rollout, control: BaseException) -> None:
        name = rollout.item.nodeid
        if isinstance(control, UsageError):
            failure = Failure(kind="usage", text=str(control))
        elif isinstance(control, Exit):
            failure = Failure(kind="exit", text=str(control))
        elif isinstance(control, (*SKIPS, XFailed)):
            function = "xfail" if isinstance(control, XFailed) else "skip"
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
        self._fail(failure)


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
        self.traits: Traits | None = None
        self.sent: dict[str, Any] | None = None

    def report_to(self, client: RunnerClient) -> None:
        """Reports what came of it to the hub."""
        episode = self.episode
        if self.sent is not None:
            client.tell(self.claim, self.attempt, self.sent)
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
            judged_by=episode.judged_by,
            traits=self.traits,
        )
