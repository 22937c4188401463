"""N isolated episodes inside one pytest item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import UsageError
from agentgym.playing.alone import MOST_ALONE, PlayedAlone, failures_allowed
from agentgym.playing.episode import ALONE, Episode
from agentgym.playing.in_flight import InFlight
from agentgym.playing.play import EpisodePlay
from agentgym.playing.pool import Ended, play_all
from agentgym.playing.spec import EpisodeSpec, Limits
from agentgym.recording.blame import Outcome
from agentgym.recording.event_loop import new_loop
from agentgym.reliability import Reliability
from agentgym.reliability.gate_odds import tolerant_alpha
from agentgym.reliability.verdicts import verdict_of
from agentgym.runs.outcome_sequence import OutcomeSequence, scenario_stop
from agentgym.scenarios.cases import Case, Rounds, draw_name, is_listed, make_cases
from agentgym.scenarios.scenario import split_to_play
from pytest_agentgym.collect.collection import ScenarioFailed, ScenarioItem
from pytest_agentgym.collect.policy import POLICY, asks_policy
from pytest_agentgym.play.apart.making import make_play
from pytest_agentgym.play.capture import split_output
from pytest_agentgym.play.concurrency import in_flight_of
from pytest_agentgym.play.episode_report import EpisodeReport
from pytest_agentgym.play.keeping_secrets import look_for_secrets
from pytest_agentgym.play.remote_play import ELSEWHERE
from pytest_agentgym.play.run_context import (
    RUN,
    captures,
    case_source,
    debugging,
)
from pytest_agentgym.play.scenario_result import PREFIX, ScenarioResult
from pytest_agentgym.play.stage import SKIPS, skip_reason
from pytest_agentgym.play.termination import TERMINATION
from pytest_agentgym.play.warning_filters import errors_as_warnings


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Plays a scenario in place of calling its function once."""
    if not isinstance(pyfuncitem, ScenarioItem):
        return None
    if pyfuncitem.play_one is not None:
        pyfuncitem.play_one()
    else:
        play_scenario(pyfuncitem)
    return True


def play_scenario(item: ScenarioItem) -> None:
    """Plays the item's episodes and reports each as it finishes.

    Raises:
        ScenarioFailed: The reliability is below the threshold, or cannot be judged.
        UsageError: The scenario or its fixtures are written wrongly.
    """
    run = item.config.stash[RUN]
    run.prices.prepare()
    count = run.episodes_of(item)
    policy = None
    if "policy" in item.fixturenames:
        policy = item.config.stash[POLICY]
        policy.endpoint()
    plays = _Plays(item, _cases(item, count), policy.spec if policy else None)
    debugged = debugging(item.config)
    capture = captures(item.config) and not item.takes_output
    look_for_secrets([item])
    results = _Results(item, count, plays)
    deferred = item.config.stash[TERMINATION].deferred
    with (
        split_output(capture and not debugged),
        errors_as_warnings(),
        # A debugger's episodes are played in this thread.
        nullcontext() if debugged else deferred(),
    ):
        begin = plays.one_by_one if debugged else plays.many
        if ELSEWHERE in item.config.stash:
            begin = plays.elsewhere
        batches = begin(count, lambda: results.enough() or run.early_end.begun)
        _play(batches, results.add, debugged=debugged)
        if plays.side_by_side and not debugged:
            alone = plays.alone(results.doubtful)
            _play(alone, results.add_alone)
    results.raise_skip()
    if (
        results.count + results.skipped < count
        and run.early_end.begun
        and not results.enough()
    ):
        run.early_end.skip(item, played=results.count, planned=count)
    results.judge()


def _play(
    batches: Iterator[Sequence[Ended]],
    add: Callable[[Sequence[Ended]], None],
    *,
    debugged: bool = False,
) -> None:
    """Plays episodes, and raises what steers the run.

    Args:
        batches: Those that have finished, as they do.
        add: Takes in a batch.
        debugged: Whether a debugger follows: the first failure ends the scenario.
    """
    for batch in batches:
        add(batch)
        for play, _ in batch:
            if play.control is not None and not isinstance(play.control, SKIPS):
                raise play.control
            if debugged and play.first_failure is not None:
                raise play.first_failure


class _Plays:
    """Makes the episodes of an item."""

    def __init__(
        self, item: ScenarioItem, cases: list[Case], policy: str | None
    ) -> None:
        options = item.config.stash[RUN].options
        self.item = item
        self.cases = cases
        self._seed = options.seed
        self._asked = options.cases
        self._rounds = Rounds(
            len(cases),
            seed=options.seed,
            scenario=item.name,
            shuffled=is_listed(item.settings.cases),
        )
        self.limits = item.config.stash[RUN].limits_of(item)
        self.in_flight = in_flight_of(item, policy)
        self._started = item.ihook.pytest_agentgym_episode_started

    def _check(self) -> None:
        """Ends the run if it is to end."""
        self.item.config.stash[RUN].check_stop()
        self.item.config.stash[TERMINATION].check()

    @property
    def listed(self) -> int:
        """Cases that it could play of a list; 0 for one that was asked for."""
        return len(self.cases) if self._rounds.shuffled and not self._asked else 0

    def many(self, count: int, enough: Callable[[], bool]) -> Iterator[Sequence[Ended]]:
        """Plays them concurrently."""
        return play_all(
            self.make,
            count,
            in_flight=self.in_flight,
            asynchronous=self.item.in_loop,
            enough=enough,
            check=self._check,
        )

    def elsewhere(
        self, count: int, enough: Callable[[], bool]
    ) -> Iterator[Sequence[Ended]]:
        """Has them played by other machines' runners."""
        yield from self.item.config.stash[ELSEWHERE].play(
            self.item, self.spec, count, enough=enough, check=self._check
        )

    def one_by_one(
        self, count: int, enough: Callable[[], bool]
    ) -> Iterator[Sequence[Ended]]:
        """Plays them in this thread, where a debugger can ask questions."""
        import asyncio

        self.limits = Limits(timeout=None, max_tool_calls=None, infra_retries=0)
        self.in_flight.stay_at(1)
        for index in range(count):
            if enough():
                return
            play = self.make(index, keep_exceptions=True)
            if self.item.asynchronous:
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    yield [(play, runner.run(play.run_async()))]
            else:
                yield [(play, play.run())]

    @property
    def side_by_side(self) -> bool:
        """Whether several were in flight here, of cases that nobody named."""
        here = ELSEWHERE not in self.item.config.stash
        return here and self.in_flight.limit > 1 and not self._asked

    def alone(self, doubtful: Callable[[], Sequence[int]]) -> Iterator[Sequence[Ended]]:
        """Plays episodes once more, one at a time.

        Args:
            doubtful: Asked before each: which ones; none ends it.
        """
        done = 0
        while len(indices := doubtful()) > done:
            yield from play_all(
                partial(self._again, indices[done]),
                1,
                in_flight=InFlight(limit=1, fixed=True),
                asynchronous=self.item.in_loop,
                check=self._check,
            )
            done += 1

    def _again(self, index: int, _: int) -> EpisodePlay:
        return self.make(index, phase=ALONE)

    def make(
        self, index: int, *, phase: str = "", keep_exceptions: bool = False
    ) -> EpisodePlay:
        """An episode of the item.

        Args:
            index: Its number.
            phase: `ALONE` where it is played once more.
            keep_exceptions: Whether a debugger wants them.
        """
        item, spec = self.item, self.spec(index)
        return make_play(
            item,
            spec,
            self.limits,
            partial(self._endpoint, spec.case, phase),
            ready=item.config.stash[POLICY].known() is not None,
            keep_exceptions=keep_exceptions,
        )

    def spec(self, index: int) -> EpisodeSpec:
        """What the episode of this number plays."""
        item, case = self.item, self.cases[self._rounds.place(index)]
        repeat = index // len(self.cases)
        if repeat:
            case = replace(case, repeat=repeat)
        self._started(item=item, index=index, case=case)
        return EpisodeSpec(
            scenario=item.nodeid,
            index=index,
            case=case,
            checks=item.specs,
            policy=item.config.stash[POLICY].spec,
            asks_policy=partial(asks_policy, item),
        )

    def _endpoint(self, case: Case, phase: str, attempt: int) -> PolicyEndpoint:
        """Where an attempt finds the policy: what it draws is the episode's own."""
        of = (self.item.nodeid, case.id, case.repeat, phase, attempt)
        name = draw_name(self._seed, *of)
        return self.item.config.stash[POLICY].of_episode(name)


class _Results:
    """Sends an item's episodes on, and judges the item."""

    def __init__(self, item: ScenarioItem, planned: int, plays: _Plays) -> None:
        self.item = item
        self._listed = plays.listed
        self._planned = planned
        self._in_flight = plays.in_flight
        self.run = item.config.stash[RUN]
        self._result = ScenarioResult(self.run.prices)
        self.count = self.skipped = 0
        self._skip: BaseException | None = None
        self.threshold = self.run.threshold_of(item)
        self.outcomes = OutcomeSequence()
        self._failed: list[int] = []
        self._alone = PlayedAlone()
        self._stop = scenario_stop(
            self.run.options.stop,
            self.threshold,
            gates=self.run.gates,
            planned=planned,
        )
        self._rewarded = item.ihook.pytest_agentgym_reward_computed
        # That it begins.
        self._send(self._reported([]))

    def add(self, batch: Sequence[Ended]) -> None:
        """Reports the episodes of one batch."""
        episodes = [episode for _, episode in batch if episode is not None]
        skips = [play for play, _ in batch if isinstance(play.control, SKIPS)]
        if not episodes and not skips:
            return
        for play in skips:
            self._skip = play.control
            if self._stop is not None:
                self._stop.skip(play.spec.index)
        self.skipped += len(skips)
        self.count += len(episodes)
        for episode in episodes:
            self._rewarded(item=self.item, episode=episode)
        report = self._reported(episodes, [skip_reason(play.control) for play in skips])
        for episode in report.episodes:
            self._result.add(episode)
            self.outcomes.add(episode)
            if episode.outcome is Outcome.failed:
                self._failed.append(episode.index)
            if self._stop is not None:
                self._stop.add(episode.index, self.outcomes[episode.index])
        self._send(report)

    def add_alone(self, batch: Sequence[Ended]) -> None:
        """Reports episodes that were played again alone; they are in no number."""
        episodes = [episode for _, episode in batch if episode is not None]
        if not episodes:
            return
        for episode in episodes:
            episode.phase = ALONE
            self._rewarded(item=self.item, episode=episode)
            self._result.add(episode)
            self._alone = self._alone.and_one(episode)
        self._send(self._reported(episodes))

    def doubtful(self) -> list[int]:
        """Failed episodes that may be no fault of the agent's, but of the others'.

        None where the scenario does not fail, where they could all pass alone by
        chance, and where the run is to end.
        """
        again = sorted(self._failed)[:MOST_ALONE]
        passed, counted = self._result.passed, self._result.counted
        allowed = failures_allowed(len(again), passed, counted)
        over = self.run.early_end.begun or self._alone.failed > allowed
        return [] if over or self._failure(self._judged()) is None else again

    def raise_skip(self) -> None:
        """Skips the item if it skipped each of its episodes."""
        if self._skip is not None and not self.count:
            raise self._skip

    def _reported(
        self, episodes: list[Episode], skips: Sequence[str] = ()
    ) -> EpisodeReport:
        """What is told of episodes, their secrets masked."""
        done = self.count + self.skipped
        return EpisodeReport.of(
            self.item,
            episodes,
            self.run.planned,
            of_scenario=self._planned,
            in_flight=min(self._in_flight.limit, self._planned - done),
            skips=skips,
            one_case=self.item.one_case,
            listed=self._listed,
        )

    def _send(self, report: EpisodeReport) -> None:
        self.item.ihook.pytest_runtest_logreport(report=report)

    def enough(self) -> bool:
        """Whether a verdict is certain, and episodes are played for nothing else."""
        return self._stop is not None and self._stop.enough

    def judge(self) -> None:
        """Passes or fails the item on its own threshold."""
        judged = self._judged()
        # A plugin may run the item again: what it said before is over.
        self.item.user_properties[:] = [
            *(p for p in self.item.user_properties if not p[0].startswith(PREFIX)),
            *self._result.properties(judged),
        ]
        failure = self._failure(judged)
        if failure is not None:
            raise ScenarioFailed(failure)

    def _judged(self) -> Reliability:
        """What its episodes say of its threshold, by themselves."""
        return self.outcomes.judge(
            self.threshold, self.run.options.stop, self.run.gates, self._planned
        )

    def _failure(self, judged: Reliability) -> str | None:
        """Why it fails; None if it passes."""
        gate = self.run.options.gate
        if gate == "tolerant":
            # What is failed here must be failed by the gate, too, which knows them all.
            gates = self.run.gates
            alpha = tolerant_alpha(gates) / gates
            certain = verdict_of(judged.p_above, judged.p_below, alpha)
            judged = replace(judged, verdict=certain)
        return self._result.failure(
            self.threshold, None if gate == "point" else judged, gate
        )


def _cases(item: ScenarioItem, count: int) -> list[Case]:
    options = item.config.stash[RUN].options
    if options.cases:
        source = case_source(item)
        return [
            (source.at if wanted.positional else source.named)(
                wanted.split, wanted.number
            )
            for wanted in options.cases
        ]
    try:
        split = split_to_play(item.settings, options.split)
    except UsageError as exc:
        pytest.skip(f"{item.originalname}: {exc}")
    return make_cases(
        item.settings.cases,
        count=count,
        seed=options.seed,
        scenario=item.name,
        split=split,
    )
