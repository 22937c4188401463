"""Checks -> reward, of the episode and of its steps: no other place knows how."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agentgym.errors import UsageError
from agentgym.recording.blame import describe
from agentgym.recording.trajectory import Trajectory
from agentgym.scenarios.checks import CheckResult
from agentgym.scenarios.scenario import Scenario


def compute_reward(results: Sequence[CheckResult], *, finished: bool) -> float:
    """Computes r * sum(w*s) / sum(w) over the checks of an episode.

    A check that was not reached scores 0 if it is always reached in a finished body,
    and leaves the sum if it is conditional; a required one that an exception kept
    from being judged counts as failed.

    Args:
        results: All checks of the scenario, reached or not.
        finished: Whether the body ran to its end.

    Returns:
        The reward, in [0, 1]; r is 1 if every required check passed, or else 0.

    Raises:
        UsageError: The body ran to its end and judged no check at all.
    """
    if finished and not any(result.judged for result in results):
        raise UsageError(
            "the scenario judged no check: write at least one assert that is "
            "always reached, about what a good run looks like"
        )
    counted = tuple(r for r in results if r.judged or not r.spec.conditional)
    if finished and all(result.status == "passed" for result in counted):
        return 1.0
    required_ok = all(
        result.status == "passed"
        for result in (counted if finished else results)
        if result.spec.must is not None
    )
    if not (required_ok and counted):
        return 0.0
    # Shares of the heaviest weight, because the sum of large ones is infinite.
    heaviest = max(result.spec.weight for result in counted)
    if heaviest == 0:
        return float(all(result.status == "passed" for result in counted))
    weights = [result.spec.weight / heaviest for result in counted]
    earned = math.fsum(w * r.share for w, r in zip(weights, counted, strict=True))
    return earned / math.fsum(weights)


def step_rewards(
    scenario: Scenario | None, reward: float, trajectory: Trajectory
) -> list[float] | None:
    """Asks a scenario's own `broadcast_rewards` for the reward of each step.

    Args:
        scenario: The instance that was played; None for a scenario function.
        reward: The episode's, in [0, 1].
        trajectory: What happened in the episode.

    Returns:
        A number in [0, 1] for each step; None if the scenario has no such method of
        its own.

    Raises:
        UsageError: The method raised, or gave something that is no list of rewards.
    """
    own = type(scenario).broadcast_rewards if scenario is not None else None
    if scenario is None or own is Scenario.broadcast_rewards:
        return None
    scenario.reward = reward
    method = f"{type(scenario).__name__}.broadcast_rewards()"
    count = len(trajectory.steps)
    try:
        rewards = scenario.broadcast_rewards(trajectory)
    except Exception as exc:
        raise UsageError(f"{method} raised {describe(exc)}") from exc
    if (
        not isinstance(rewards, list)
        or len(rewards) != count
        or not all(isinstance(r, int | float) and 0 <= r <= 1 for r in rewards)
    ):
        raise UsageError(
            f"{method} returned {rewards!r}: "
            f"give a list of {count} numbers in [0, 1], one for each step"
        )
    return [float(reward) for reward in rewards]
