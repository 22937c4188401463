"""The episode that is kept of an attempt, whatever values its agent left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agentgym.endpoint import without_secrets
from agentgym.errors import HarnessError
from agentgym.playing.attempt import Attempt
from agentgym.playing.episode import Episode
from agentgym.playing.failure_text import error_details, error_line
from agentgym.playing.spec import EpisodeSpec
from agentgym.playing.tool_table import tool_table
from agentgym.recording.blame import Outcome, describe
from agentgym.recording.plain import Show, name_only, printed
from agentgym.recording.trajectory import Trajectory

T = TypeVar("T")


@dataclass(slots=True)
class Course:
    """What an episode's attempts have in common.

    Attributes:
        begun: Seconds since 1970.
        clock: The same by `time.perf_counter`.
        attempts: So far.
        discarded: Model calls of the attempts before the last one.
    """

    begun: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    attempts: int = 0
    discarded: list[list[Any]] = field(default_factory=list)

    def discard(self, trajectory: Trajectory) -> None:
        """Notes what an attempt that is tried again took: it is paid all the same."""
        self.discarded += [
            [call.model, *call.usage]
            for call in trajectory.model_calls
            if call.error is None
        ]


def keep(
    spec: EpisodeSpec,
    course: Course,
    attempt: Attempt,
    reason: BaseException | None,
    show: Show = printed,
) -> tuple[Episode, list[float] | None]:
    """Makes the episode.

    Args:
        spec: What was played.
        course: Its attempts.
        attempt: The last one of them.
        reason: Why it was ended from outside; None if it came to its own end.
        show: Makes text of the agent's own objects; see `agentgym.recording.plain`.

    Returns:
        The episode, and the reward of each step if the scenario has its own.

    Raises:
        UsageError: The scenario judged nothing, or its own rewards are none.
        ForeignValue: As `show` does.
    """
    trajectory = attempt.recorder.trajectory
    # First, as `show` may refuse: nothing of the user's has run then.
    kept, case = trajectory.kept(show=show), spec.case.to_json(show)
    result = attempt.result(spec.checks, reason)
    error, quick = result.error, show is not name_only
    episode = Episode(
        id=spec.id,
        scenario=spec.scenario,
        index=spec.index,
        case=case,
        outcome=result.outcome,
        reward=result.reward,
        checks=[check.to_json() for check in result.checks],
        trajectory=kept,
        tools=tool_table(
            trajectory,
            attempt.log.expectations if quick else (),
            passed=result.outcome is Outcome.passed,
        ),
        start=course.begun,
        duration=time.perf_counter() - course.clock,
        attempts=course.attempts,
        error=None if error is None else _line(error, result.outcome, quick),
        # What ended it from outside was raised nowhere.
        details=None
        if error is None or error is reason or not quick
        else error_details(error),
        # Clients log the address that they ask.
        output=without_secrets(attempt.output.text()),
        policy=_policy(spec),
        tokens=trajectory.tokens,
        discarded=course.discarded,
        attempt_start=attempt.recorder.begun - course.clock,
        simulators=attempt.simulation.to_json(),
        repeat=spec.case.repeat,
    )
    return episode, result.steps


def _line(error: BaseException, outcome: Outcome, quick: bool) -> str:
    """The error in one line; its kind alone if its own text takes too long."""
    return error_line(error, outcome) if quick else type(error).__name__


def lost(spec: EpisodeSpec, course: Course, why: BaseException) -> Episode:
    """What is left of an episode that cannot be kept: it counts for nothing.

    Args:
        spec: What was played.
        course: Its attempts.
        why: What its making raised.
    """
    error = HarnessError(f"the episode cannot be kept: {describe(why)}")
    return Episode(
        id=spec.id,
        scenario=spec.scenario,
        index=spec.index,
        case=spec.case.place(),
        outcome=Outcome.harness_error,
        reward=0.0,
        start=course.begun,
        duration=time.perf_counter() - course.clock,
        attempts=course.attempts,
        error=describe(error),
        details=error_details(why),
        policy=_policy(spec),
        discarded=course.discarded,
        repeat=spec.case.repeat,
    )


def _policy(spec: EpisodeSpec) -> str | None:
    if spec.policy is None or (spec.asks_policy and not spec.asks_policy()):
        return None
    return without_secrets(spec.policy)


def apart(work: Callable[[], T]) -> Future[T]:
    """Does the work in a thread of its own, which nothing has to wait for.

    Args:
        work: May take for ever, as the user's code is part of it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - it is whose result is asked for
            future.set_exception(exc)

    threading.Thread(target=run, name="agentgym-keeping", daemon=True).start()
    return future
