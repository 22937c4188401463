"""What the process of one episode does."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from _pytest import assertion
from _pytest.capture import MultiCapture

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import HarnessError, UsageError
from agentgym.playing.attempt import Attempt
from agentgym.playing.episode import Episode
from agentgym.playing.in_flight import InFlight
from agentgym.playing.isolated.limiting import limit
from agentgym.playing.isolated.line import Wire
from agentgym.playing.play import EpisodePlay
from agentgym.playing.pool import play_all
from agentgym.playing.spec import EpisodeSpec
from agentgym.recording.blame import Outcome, describe
from agentgym.recording.plain import name_only
from agentgym.scenarios.cases import CaseSource, given
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.collect.isolation import CASE_ASKED, FixtureWorld
from pytest_agentgym.collect.policy import POLICY, asks_policy
from pytest_agentgym.play.apart.controls import told
from pytest_agentgym.play.capture import split_output
from pytest_agentgym.play.episode_report import dumped
from pytest_agentgym.play.run_context import RUN, captures, case_source
from pytest_agentgym.play.stage import CONTROL, FixtureStage
from pytest_agentgym.play.warning_filters import errors_as_warnings

_BEAT_SECONDS = 1.0


class EpisodeProcess:
    """Plays one episode of a scenario, in the process that a fork server has made.

    Args:
        items: The isolated scenarios. What of their cases takes long is made here.
    """

    def __init__(self, items: Sequence[ScenarioItem]) -> None:
        self._items = {item.nodeid: item for item in items}
        self._cases = {item.nodeid: _drawn(item) for item in items}

    def __call__(self, request: Any, wire: Wire) -> None:
        """Plays it, and says what came of it.

        Args:
            request: See `making`.
            wire: Hears "progress", "beat" and, at last, "result".
        """
        wire.say("beat")
        item = self._items[request["scenario"]]
        _leave_the_run(item)
        process = item.settings.process_limits
        assert process is not None
        taken = limit(process)
        case = self._cases[item.nodeid].named(**request["case"])
        case = replace(case, repeat=request["repeat"])
        item.config.stash[POLICY].know(request["policy"])
        spec = EpisodeSpec(
            id=request["id"],
            scenario=item.nodeid,
            index=request["index"],
            case=case,
            checks=item.specs,
            policy=item.config.stash[POLICY].spec,
            asks_policy=partial(asks_policy, item),
        )
        endpoints = [PolicyEndpoint(**each) for each in request["endpoints"]]
        stage = FixtureStage(
            item, spec.index, case, partial(_endpoint, item, endpoints)
        )
        play, episode = _played(item, spec, stage, wire)
        if episode is not None and episode.error is not None:
            episode.error += _hint(episode.error, taken)
        wire.say("result", _result(item, play, episode))


def _leave_the_run(item: ScenarioItem) -> None:
    """Makes this process one that plays an episode and nothing else."""
    plugins = item.config.pluginmanager
    # The files that pytest captures in are shared with the process that it runs in.
    capture: Any = plugins.get_plugin("capturemanager")
    if capture is not None:
        capture._global_capturing = MultiCapture(in_=None, out=None, err=None)
    # Whether the run goes on is not for this process to say.
    plugins.unregister(name="agentgym-run")


def _endpoint(
    item: ScenarioItem, endpoints: Sequence[PolicyEndpoint], attempt: int
) -> PolicyEndpoint:
    # Without one of its own it is the run's, which says that it is not known.
    return endpoints[attempt] if endpoints else item.config.stash[POLICY].endpoint()


def _drawn(item: ScenarioItem) -> CaseSource:
    cases = case_source(item)
    if isinstance(item.settings.cases, given):
        # Too slow for each process; what is wrong with them, each will say.
        with contextlib.suppress(UsageError):
            cases.drawn("held_out")
            cases.drawn("train")
    return cases


def _played(
    item: ScenarioItem, spec: EpisodeSpec, stage: FixtureStage, wire: Wire
) -> tuple[EpisodePlay, Episode | None]:
    """The episode, played as pytest runs a test: its plugins see nothing else."""
    played: list[tuple[EpisodePlay, Episode | None]] = []

    def play(stage: FixtureStage = stage) -> None:
        played.append(_play(item, spec, stage, wire))

    item.play_one = play
    with contextmanager(assertion.pytest_runtest_protocol)(item), errors_as_warnings():
        try:
            item.ihook.pytest_runtest_setup(item=item)
        except BaseException as error:  # noqa: BLE001 - the episode says what it was
            play(_Broken(item, spec.index, spec.case, stage.endpoint, error=error))
        else:
            item.ihook.pytest_runtest_call(item=item)
        done, episode = played[0]
        try:
            item.ihook.pytest_runtest_teardown(item=item, nextitem=None)
        except BaseException as error:  # noqa: BLE001 - likewise
            if episode is not None and episode.counted:
                _break(episode, error)
    return done, episode


def _play(
    item: ScenarioItem, spec: EpisodeSpec, stage: FixtureStage, wire: Wire
) -> tuple[EpisodePlay, Episode | None]:
    def follow(attempt: Attempt) -> None:
        _say_progress(wire, attempt, play.attempts)

    _draw_anew(spec.id)
    limits = item.config.stash[RUN].limits_of(item)
    play = EpisodePlay(spec, stage, limits, control=CONTROL, follow=follow)
    with split_output(captures(item.config) and not item.takes_output):
        batches = play_all(
            lambda _: play,
            1,
            in_flight=InFlight(limit=1, fixed=True),
            asynchronous=item.asynchronous,
            check=_Beat(wire),
        )
        return next(batch[0] for batch in batches if batch)


def _draw_anew(seed: str) -> None:
    """Seeds what the copies of a process, or a plugin at each set-up, have alike."""
    random.seed(seed)
    number = random.getrandbits(32)
    for module, seeding in (("numpy.random", "seed"), ("torch", "manual_seed")):
        if module in sys.modules:
            getattr(sys.modules[module], seeding)(number)


class _Beat:
    """Says from time to time that the process lives."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BEAT_SECONDS
            self._wire.say("beat")


def _say_progress(wire: Wire, attempt: Attempt, attempts: int) -> None:
    # Parallel tools may be at work on it; and who hears nobody any more is killed soon.
    with contextlib.suppress(RuntimeError, OSError):
        wire.say(
            "progress",
            {
                "attempts": attempts,
                # It is over when the wider fixtures are torn down, too.
                "part": "tear-down" if attempt.part == "over" else attempt.part,
                "trajectory": attempt.recorder.trajectory.to_json(show=name_only),
            },
        )


def _result(
    item: ScenarioItem, play: EpisodePlay, episode: Episode | None
) -> dict[str, Any]:
    return {
        "control": None if play.control is None else told(play.control),
        "episode": None if episode is None else json.loads(dumped(episode)[0]),
        "prompts": {} if episode is None else episode.trajectory.prompts,
        "steps": play.steps,
        "refused": play.refused,
        "attempts": play.attempts,
        "case_asked": item.stash.get(CASE_ASKED, False),
    }


def _hint(error: str, taken: Sequence[str]) -> str:
    for name in taken:
        if name in error:
            return (
                f" ({name} is kept out of isolated processes: isolation=ProcessLimits("
                f'environment=("{name}",)) lets it in)'
            )
    return ""


def _break(episode: Episode, error: BaseException) -> None:
    """What the wider fixtures raise at their end is as what the others do."""
    fault = HarnessError(f"in the tear-down: {describe(error)}")
    episode.outcome, episode.reward = Outcome.harness_error, 0.0
    episode.error = describe(fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken(FixtureStage):
    """A stage on which nothing can be played.

    Attributes:
        error: Why.
    """

    error: BaseException

    def make_world(self) -> FixtureWorld:
        """Raises the error."""
        raise self.error
