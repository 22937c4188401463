"""Plays one episode: world, body, checks, reward, outcome."""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agentgym.errors import (
    EpisodeStopped,
    EpisodeTimeout,
    InfraError,
    SimulatorError,
    UsageError,
)
from agentgym.playing.episode import Episode
from agentgym.playing.tool_table import tool_table
from agentgym.recording.blame import Outcome, chain, classify
from agentgym.recording.recorder import Recorder
from agentgym.scenarios.cases import Case
from agentgym.scenarios.checks import CheckLog, CheckResult, CheckSpec
from agentgym.scenarios.reward import compute_reward
from agentgym.scenarios.scenario import Scenario
from agentgym.simulators.simulation import Simulation

FIRST_BACKOFF_SECONDS = 0.5
_OURS = tuple(
    str(Path(__file__).parents[1].with_name(name)) + os.sep
    for name in ("agentgym", "pytest_agentgym")
)
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_NOT_THE_USERS = (*_OURS, os.path.dirname(os.__file__) + os.sep, "<")


class World(Protocol):
    """The fresh surroundings of one episode: the plugin's function-scoped fixtures."""

    scenario: Scenario | None

    def set_up(self) -> Callable[[], Any]:
        """Makes the world and returns the scenario's body, ready to be called."""

    async def set_up_async(self) -> Callable[[], Awaitable[Any]]:
        """The same for an async scenario."""

    def tear_down(self) -> None:
        """Undoes `set_up`, also after it failed half-way."""

    async def tear_down_async(self) -> None:
        """Undoes `set_up_async`."""


class Output(Protocol):
    """Where an episode's printed text goes."""

    def activate(self) -> AbstractContextManager[object]:
        """Collects what is printed while active."""

    def text(self) -> str:
        """What was printed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one episode may use up.

    Attributes:
        timeout: Seconds for one attempt; None for no limit.
        max_tool_calls: Tool calls; the next one is the agent's failure.
        infra_retries: New attempts after an infrastructure error.
    """

    timeout: float | None = 300.0
    max_tool_calls: int | None = 50
    infra_retries: int = 2


class EpisodePlay:
    """One episode: `run()` plays it, `abandon()` ends it from another thread.

    Whichever finishes first makes the episode; the other's result is dropped.

    Attributes:
        control: An exception that steers the runner (a skip, an exit, a usage error)
            and is no result of the agent; the caller raises it again.
        first_failure: The first failed check's exception, kept for a debugger.
        started: Monotonic time at which the current attempt began, or None.
        attempts: Attempts so far.
        steps: Reward of each step, if the scenario has a `broadcast_rewards` of its
            own.
    """

    def __init__(
        self,
        *,
        scenario: str,
        index: int,
        case: Case,
        specs: Sequence[CheckSpec],
        make_world: Callable[[], World],
        make_output: Callable[[], Output],
        limits: Limits,
        control: tuple[type[BaseException], ...] = (),
        policy: str | None = None,
        make_simulation: Callable[[], Simulation] = Simulation,
        keep_exceptions: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        self.id = id or secrets.token_hex(16)
        self.scenario = scenario
        self.index = index
        self.case = case
        self.limits = limits
        self.control: BaseException | None = None
        self.first_failure: BaseException | None = None
        self.started: float | None = None
        self._specs = specs
        self._make_world = make_world
        self._make_output = make_output
        self._make_simulation = make_simulation
        self._control_types = (*control, UsageError, KeyboardInterrupt)
        self._policy = policy
        self._keep_exceptions = keep_exceptions
        self.attempts = 0
        self._discarded: list[list[Any]] = []
        self.steps: list[float] | None = None
        self._begun = time.time()
        self._clock = time.perf_counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._episode: Episode | None = None
        self._attempt: _Attempt | None = None

    def run(self) -> Episode | None:
        """Plays the episode in this thread.

        Returns:
            The episode, or None when it was abandoned or `control` says why not.
        """
        while True:
            attempt = self._begin()
            try:
                self._play(attempt)
            except BaseException as exc:  # noqa: BLE001 - the thread's last resort
                attempt.fail(exc, harness=True)
            if not self._retry(attempt):
                return self._finish(attempt)
            self._stop.wait(self._backoff())

    async def run_async(self) -> Episode | None:
        """Plays an async scenario's episode in the running event loop."""
        import asyncio

        while True:
            attempt = self._begin()
            try:
                async with asyncio.timeout(self.limits.timeout):
                    await self._play_async(attempt)
            except TimeoutError:
                attempt.fail(self._timed_out())
            except asyncio.CancelledError as exc:
                attempt.fail(EpisodeStopped(str(exc)))
            except BaseException as exc:  # noqa: BLE001
                attempt.fail(exc, harness=True)
            if not self._retry(attempt):
                return self._finish(attempt)
            await asyncio.sleep(self._backoff())

    def overdue(self, now: float) -> bool:
        """Whether the current attempt has used up its time (monotonic `now`)."""
        limit, started = self.limits.timeout, self.started
        return limit is not None and started is not None and now - started > limit

    def abandon(self, reason: BaseException | None = None) -> Episode | None:
        """Ends the episode from outside; its thread stops at its next call.

        Args:
            reason: Why; by default that the time is used up.

        Returns:
            The episode as far as it went; None if it had finished already or if it
            was stopped before it counts (a `reason` that is `EpisodeStopped`).
        """
        self._stop.set()
        attempt = self._attempt
        if attempt is None:
            return None
        if reason is None:
            reason = self._timed_out()
        attempt.recorder.stop(EpisodeStopped(str(reason)))
        return self._finish(attempt, reason)

    def _timed_out(self) -> BaseException:
        limit = self.limits.timeout or 0.0
        attempt = self._attempt
        if attempt is not None and attempt.simulation.waited() > limit / 2:
            return SimulatorError(
                f"judge and simulated user took {attempt.simulation.waited():.0f} s of "
                f"the episode's {limit:g} s (--agentgym-timeout)"
            )
        waiting = None if attempt is None else attempt.recorder.model_in_flight()
        if waiting is not None and waiting > limit / 2:
            return InfraError(f"the model gave no answer for {waiting:.0f} s")
        return EpisodeTimeout(
            f"the agent did not stop within {limit:g} s (--agentgym-timeout)"
        )

    def _begin(self) -> _Attempt:
        self.attempts += 1
        simulation = self._make_simulation()
        if self._attempt is not None:
            simulation.go_on_from(self._attempt.simulation)
        attempt = _Attempt(
            Recorder(max_tool_calls=self.limits.max_tool_calls),
            CheckLog(keep_exceptions=self._keep_exceptions),
            self._make_output(),
            simulation,
        )
        self._attempt = attempt
        self.started = time.monotonic()
        return attempt

    def _play(self, attempt: _Attempt) -> None:
        world = self._make_world()
        with (
            attempt.output.activate(),
            attempt.recorder.activate(),
            attempt.log.activate(),
            attempt.simulation.activate(),
        ):
            try:
                body = world.set_up()
            except BaseException as exc:  # noqa: BLE001
                attempt.fail(exc, harness=True)
            else:
                attempt.scenario = world.scenario
                try:
                    body()
                    attempt.finished = True
                except BaseException as exc:  # noqa: BLE001
                    attempt.fail(exc)
            finally:
                attempt.freeze()
                try:
                    world.tear_down()
                except BaseException as exc:  # noqa: BLE001
                    attempt.fail(exc, harness=True)

    async def _play_async(self, attempt: _Attempt) -> None:
        world = self._make_world()
        with (
            attempt.output.activate(),
            attempt.recorder.activate(),
            attempt.log.activate(),
            attempt.simulation.activate(),
        ):
            try:
                body = await world.set_up_async()
            except Exception as exc:  # noqa: BLE001
                attempt.fail(exc, harness=True)
            else:
                attempt.scenario = world.scenario
                try:
                    await body()
                    attempt.finished = True
                except Exception as exc:  # noqa: BLE001
                    attempt.fail(exc)
            finally:
                attempt.freeze()
                try:
                    await world.tear_down_async()
                except Exception as exc:  # noqa: BLE001
                    attempt.fail(exc, harness=True)

    def _retry(self, attempt: _Attempt) -> bool:
        again = (
            attempt.outcome() is Outcome.infra_error
            and self.attempts <= self.limits.infra_retries
            and not self._stop.is_set()
        )
        if again:
            # They are paid all the same.
            self._discarded += [
                [call.model, call.prompt_tokens, call.completion_tokens]
                for call in attempt.recorder.trajectory.model_calls
                if call.error is None
            ]
        return again

    def _backoff(self) -> float:
        # Full jitter keeps the retries of many episodes from arriving together.
        self.started = None
        longest: float = FIRST_BACKOFF_SECONDS * 2**self.attempts
        return random.uniform(0.5, 1) * longest  # noqa: S311

    def _finish(
        self, attempt: _Attempt, reason: BaseException | None = None
    ) -> Episode | None:
        with self._lock:
            if self._episode is not None or self.control is not None:
                return None
            error = reason if reason is not None else attempt.error
            if isinstance(error, EpisodeStopped):
                return None
            if isinstance(error, self._control_types):
                self.control = error
                return None
            self.first_failure = error or attempt.log.first_exception
            try:
                self._episode = self._make_episode(attempt, reason)
            except BaseException as exc:  # noqa: BLE001 - or the pool would wait on
                self.control = exc
                return None
            return self._episode

    def _make_episode(self, attempt: _Attempt, reason: BaseException | None) -> Episode:
        finished = attempt.finished and reason is None
        results = attempt.log.results(self._specs)
        outcome = attempt.outcome(reason)
        reward = 0.0
        if outcome in (Outcome.passed, Outcome.failed):
            reward = compute_reward(results, finished=finished).value
            self.steps = step_rewards(attempt.scenario, reward, attempt.recorder)
            if self.steps:
                reward = sum(self.steps) / len(self.steps)
        if outcome is Outcome.passed and not all(map(_good, results)):
            outcome = Outcome.failed
        trajectory = attempt.recorder.trajectory
        error = reason if reason is not None else attempt.error
        return Episode(
            id=self.id,
            scenario=self.scenario,
            index=self.index,
            case=self.case.to_json(),
            outcome=outcome,
            reward=reward,
            checks=[_check_json(result) for result in results],
            trajectory=trajectory,
            tools=tool_table(
                trajectory, attempt.log.expectations, passed=outcome is Outcome.passed
            ),
            start=self._begun,
            duration=time.perf_counter() - self._clock,
            attempts=self.attempts,
            error=_told(error, outcome),
            details=None if error is None or reason is not None else _details(error),
            output=attempt.output.text(),
            policy=self._policy,
            tokens=trajectory.tokens,
            discarded=self._discarded,
            attempt_start=attempt.recorder.begun - self._clock,
            simulators=attempt.simulation.to_json(),
        )


class _Attempt:
    """What one try at an episode leaves behind."""

    def __init__(
        self,
        recorder: Recorder,
        log: CheckLog,
        output: Output,
        simulation: Simulation,
    ) -> None:
        self.recorder = recorder
        self.log = log
        self.output = output
        self.simulation = simulation
        self.scenario: Scenario | None = None
        self.finished = False
        self.error: BaseException | None = None
        self.harness_fault = False

    def freeze(self) -> None:
        """Ends recording: what a tear-down calls is not the agent's doing."""
        if self.error is None and self.recorder.infra_failure is not None:
            # The agent swallowed the model's error and answered all the same.
            self.error = self.recorder.infra_failure
        if self.error is None and self.simulation.failure is not None:
            # The scenario swallowed the judge's error: nobody knows the verdict.
            self.error = self.simulation.failure

    def fail(self, error: BaseException, *, harness: bool = False) -> None:
        """Keeps the first error, and whether it came from fixtures or the plugin."""
        limit = self.recorder.limit_exceeded
        if limit is not None and any(
            isinstance(e, EpisodeStopped) for e in chain(error)
        ):
            # It ended an agent that had swallowed the limit.
            error, harness = limit, False
        if self.error is None:
            self.error = error
            self.harness_fault = harness

    def outcome(self, reason: BaseException | None = None) -> Outcome:
        error = reason if reason is not None else self.error
        if error is None:
            return Outcome.passed
        outcome = classify(error, from_tool=self.recorder.is_tool_error)
        if outcome is Outcome.failed and reason is None and self.harness_fault:
            return Outcome.harness_error
        return outcome


def step_rewards(
    scenario: Scenario | None, reward: float, recorder: Recorder
) -> list[float] | None:
    """What the scenario's own `broadcast_rewards` gives each step.

    Returns:
        None if it has no such method of its own.

    Raises:
        UsageError: The method gave something that is no list of rewards.
    """
    if (
        scenario is None
        or type(scenario).broadcast_rewards is Scenario.broadcast_rewards
    ):
        return None
    scenario.reward = reward
    steps = recorder.trajectory.steps
    try:
        rewards = scenario.broadcast_rewards(recorder.trajectory)
    except Exception as exc:
        raise UsageError(
            f"{type(scenario).__name__}.broadcast_rewards() raised {describe(exc)}"
        ) from exc
    if (
        not isinstance(rewards, list)
        or len(rewards) != len(steps)
        or not all(isinstance(r, int | float) and 0 <= r <= 1 for r in rewards)
    ):
        raise UsageError(
            f"{type(scenario).__name__}.broadcast_rewards() returned {rewards!r}: "
            f"give a list of {len(steps)} numbers in [0, 1], one for each step"
        )
    return [float(reward) for reward in rewards]


def describe(error: BaseException) -> str:
    """One line that names the error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _told(error: BaseException | None, outcome: Outcome) -> str | None:
    if error is None:
        return None
    if outcome is not Outcome.harness_error:
        return describe(error)
    return f"{describe(error)}{_place(error)}"


def _place(error: BaseException) -> str:
    """Where the user's own code was last, as pytest writes places."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        installed = not _INSTALLED.isdisjoint(path.parts)
        if not installed and not frame.filename.startswith(_NOT_THE_USERS):
            here = Path.cwd()
            shown = path.relative_to(here) if path.is_relative_to(here) else path
            return f" ({shown}:{frame.lineno} in {frame.name})"
    return ""


def _details(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_OURS)] or list(frames)
    lines = traceback.format_list(own[-6:])
    return ("".join(lines) + describe(error))[:8000]


def _good(result: CheckResult) -> bool:
    return result.status == "passed" or (
        result.status == "not_reached" and result.spec.conditional
    )


def _check_json(result: CheckResult) -> dict[str, Any]:
    spec = result.spec
    return {
        "id": spec.id,
        "text": spec.text,
        "file": spec.file,
        "line": spec.line,
        "weight": spec.weight,
        "must": spec.must,
        "conditional": spec.conditional,
        "status": result.status,
        "share": result.share,
        "message": result.message,
    }
