"""What one attempt at an episode leaves: its records, its first error, its result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from agentgym.errors import (
    AgentError,
    AgentGymError,
    EpisodeStopped,
    HarnessError,
    InfraError,
)
from agentgym.playing.stage import Output, World
from agentgym.recording import event_loop
from agentgym.recording.blame import Outcome, chain, classify
from agentgym.recording.recorder import Recorder
from agentgym.scenarios.check_log import CheckLog
from agentgym.scenarios.checks import CheckResult, CheckSpec
from agentgym.scenarios.reward import compute_reward, step_rewards
from agentgym.scenarios.scenario import Scenario
from agentgym.simulators.simulation import Simulation

Part = Literal["set-up", "body", "tear-down", "over"]
"""What an attempt consists of; each part has the time limit for itself.

When it is over, it is only kept.
"""


class AttemptResult(NamedTuple):
    """What came of an attempt.

    Attributes:
        outcome: Its result.
        reward: In [0, 1].
        steps: Reward of each step, if the scenario has a `broadcast_rewards` of its
            own.
        checks: The result of each check.
        error: What ended the body before its end, if anything did.
    """

    outcome: Outcome
    reward: float
    steps: list[float] | None
    checks: list[CheckResult]
    error: BaseException | None


class Attempt:
    """One try at an episode, while it is played and after.

    Args:
        recorder: What the agent does.
        log: What the checks say.
        output: What is printed.
        simulation: What judge and simulated users do.

    Attributes:
        world: Its fixtures, once there are any.
        part: What it is doing, or did last.
        part_begun: When that began, by `time.perf_counter`.
        scenario: The instance of a `Scenario` class that is played, if it is one.
        finished: Whether the scenario's body ran to its end.
        error: The first error.
    """

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
        self.world: World | None = None
        self.part: Part = "set-up"
        self.part_begun = recorder.begun
        self.scenario: Scenario | None = None
        self.finished = False
        self.error: BaseException | None = None
        self._harness_fault = False

    def enter(self, part: Part) -> None:
        """A part of it begins."""
        self.part = part
        self.part_begun = time.perf_counter()

    def catch(self, error: BaseException, *, harness: bool = False) -> None:
        """Keeps the error, as `fail` does, unless it is the event loop's word to stop.

        Args:
            error: What ended a part of the attempt.
            harness: Whether it came from fixtures or the plugin.

        Raises:
            BaseException: The error itself, when the attempt is being cancelled.
        """
        if _ends_the_play(error):
            raise error
        self.fail(error, harness=harness)

    def freeze(self) -> None:
        """Ends recording: what a tear-down calls is not the agent's doing."""
        self.recorder.shared_state.end()
        failure = self.recorder.infra_failure
        if failure is not None and self._is_the_agents(self.error):
            # The agent swallowed the model's error and answered all the same, or could
            # do nothing with an answer that was none.
            self.error = failure
        if self.error is None and self.simulation.failure is not None:
            # The scenario swallowed the judge's error: nobody knows the verdict.
            self.error = self.simulation.failure
        if self.log.crash is not None and self._is_the_agents(self.error):
            # Nor what the check says whose own code raised.
            self.error, self._harness_fault = self.log.crash, True

    def fail(self, error: BaseException, *, harness: bool = False) -> None:
        """Keeps the error if it is the first one.

        Args:
            error: What ended the attempt, or a part of it.
            harness: Whether it came from fixtures or the plugin.
        """
        limit = self.recorder.limit_exceeded
        if any(isinstance(e, EpisodeStopped) for e in chain(error)):
            if limit is not None:
                # It ended an agent that had swallowed the limit.
                error, harness = limit, False
            elif not self.recorder.stopped:
                error, harness = _of_another(error), True
        if self.error is None:
            self.error = _as_raised(error)
            self._harness_fault = harness

    def outcome(self, reason: BaseException | None = None) -> Outcome:
        """Who caused its end; without an error, what the checks say is not seen.

        Args:
            reason: Why it was ended from outside, which no error of its own changes.
        """
        error = reason if reason is not None else self.error
        if error is None:
            return Outcome.passed
        outcome = self._classify(error)
        if reason is not None or not self._harness_fault:
            return outcome
        if outcome is Outcome.infra_error and not self._asked_a_model(error):
            # A fixture's data base that is down is no model's server.
            return Outcome.harness_error
        return Outcome.harness_error if outcome is Outcome.failed else outcome

    def _asked_a_model(self, error: BaseException) -> bool:
        """Whether the error arose while a model was asked, or says so itself."""
        return any(
            isinstance(link, InfraError) or self.recorder.origins.is_of_agent(link)
            for link in chain(error)
        )

    def _is_the_agents(self, error: BaseException | None) -> bool:
        """Whether, as far as is known, the agent is to blame for the error, if any.

        An error of our own says itself who is, and others than exceptions steer us.
        """
        if error is None:
            return True
        ours = isinstance(error, AgentGymError) and not isinstance(error, AgentError)
        if ours or not isinstance(error, Exception):
            return False
        return not self._harness_fault and self._classify(error) is Outcome.failed

    def _classify(self, error: BaseException) -> Outcome:
        if error is self.recorder.infra_failure:
            # Of any class, as what a client raises on an answer that is none.
            return Outcome.infra_error
        return classify(
            error,
            from_tool=self.recorder.is_tool_error,
            asking=self.recorder.origins.is_of_agent,
        )

    def result(
        self, specs: Sequence[CheckSpec], reason: BaseException | None = None
    ) -> AttemptResult:
        """Computes outcome and reward.

        Args:
            specs: The checks of the scenario.
            reason: Why it was ended from outside; None if it came to its own end.

        Raises:
            UsageError: The scenario judged nothing, or its own rewards are none.
        """
        finished = self.finished and reason is None
        results = self.log.results(specs)
        outcome = self.outcome(reason)
        reward, steps = 0.0, None
        if outcome.counts:
            reward = compute_reward(results, finished=finished)
            trajectory = self.recorder.trajectory
            steps = step_rewards(self.scenario, reward, trajectory)
            if steps:
                reward = sum(steps) / len(steps)
        if outcome is Outcome.passed and not all(map(_held, results)):
            outcome = Outcome.failed
        return AttemptResult(
            outcome=outcome,
            reward=reward,
            steps=steps,
            checks=results,
            error=reason if reason is not None else self.error,
        )


def _ends_the_play(error: BaseException) -> bool:
    """Whether it is the event loop's word to stop, not an error of what was played."""
    if isinstance(error, GeneratorExit):
        return True
    if not isinstance(error, asyncio.CancelledError) or not event_loop.is_running():
        return False
    task = asyncio.current_task()
    # One that nobody asked for leaked from the agent's own tasks.
    return task is not None and task.cancelling() > 0


def _as_raised(error: BaseException) -> BaseException:
    """The error as it left the user's code.

    A StopIteration that leaves a coroutine, such as `World.set_up`, is a RuntimeError,
    which says nothing of the fixture that raised it.
    """
    cause = error.__cause__
    if type(error) is RuntimeError and isinstance(cause, StopIteration):
        return cause if str(error) == "coroutine raised StopIteration" else error
    return error


def _of_another(stopped: BaseException) -> HarnessError:
    """The end of another episode, which reached this one through what both share."""
    error = HarnessError(
        "it ended with another episode, which was stopped: they share what one waited "
        "for, such as a cache, a queue or a future"
    )
    error.__cause__ = stopped
    return error


def _held(result: CheckResult) -> bool:
    return result.status == "passed" or (
        result.status == "not_reached" and result.spec.conditional
    )
