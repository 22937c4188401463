"""Rollouts as Agent Lightning's trainer has them when they have ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

SCENARIO = "test_it.py::test_order"


def made_call(
    prompt: list[int], reply: list[int], *, at: float = 1.0, version: int = 0
) -> dict[str, Any]:
    """The event of a model call."""
    content = [{"logprob": -0.5 - token / 1000} for token in reply]
    choice = {"token_ids": reply, "logprobs": {"content": content}}
    return {
        "event_type": "model_request",
        "rollout_id": "r",
        "attempt_id": "0",
        "timestamp": at,
        "data": {
            "status": "ok",
            "latency_ms": 0.0,
            "server": {"model": "policy", "version": version},
            "response": {"prompt_token_ids": prompt, "choices": [choice]},
        },
    }


def made_rollout(
    name: str,
    reward: float | None,
    *,
    group: str = "g",
    calls: list[dict[str, Any]] | None = None,
    steps: list[float] | None = None,
    error: str = "infra_error: the model server was away",
) -> Any:
    """A rollout that ended; without a reward it failed with this error."""
    if calls is None:
        calls = [made_call([1, 2, 3], [4, 5], at=1.0)]
    events = [*calls]
    if reward is not None:
        data: dict[str, Any] = {
            "value": reward,
            "reason": "passed" if reward == 1 else "failed",
        }
        if steps is not None:
            data["steps"] = steps
        events.append(
            {
                "event_type": "reward",
                "rollout_id": name,
                "attempt_id": "0",
                "timestamp": 2.0,
                "data": data,
            }
        )
    played = {"scenario": SCENARIO, "split": "train", "case": 0}
    return SimpleNamespace(
        rollout_id=name,
        data_id=group,
        input={**played, "phase": "train", "repeat": 0, "index": 0},
        rollout_state="failed" if reward is None else "succeeded",
        error_message=error if reward is None else None,
        events=events,
        final_reward=reward,
    )
