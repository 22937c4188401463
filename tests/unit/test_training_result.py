"""Results read from recorded events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agentgym.training.hub.rollout_result import ModelCallRecord, read_result
from agentgym.training.job.task import Task

TASK = Task(scenario="s", split="train", case=3, phase="train")


def request(
    *, at: float = 1.0, latency: float = 0.0, status: str = "ok", **choice: Any
) -> SimpleNamespace:
    data = {
        "server": {"model": "v7", "version": 7},
        "response": {"prompt_token_ids": [1, 2], "choices": [choice]},
        "usage": {"prompt_tokens": 2, "completion_tokens": 2},
        "finish_reason": "stop",
        "latency_ms": latency,
        "status": status,
    }
    return SimpleNamespace(event_type="model_request", timestamp=at, data=data)


def sampled(*ids: int) -> dict[str, Any]:
    content = [{"token": "x", "logprob": -0.5 * i} for i in ids]
    return {"token_ids": list(ids), "logprobs": {"content": content}}


def rewarded(value: float, reason: str, **more: Any) -> SimpleNamespace:
    data = {"value": value, "reason": reason, **more}
    return SimpleNamespace(event_type="reward", timestamp=9.0, data=data)


def test_a_call_is_its_tokens_and_their_logprobs():
    record = ModelCallRecord.from_event(request(**sampled(3, 4)).data)
    assert record == ModelCallRecord(
        prompt_ids=[1, 2],
        token_ids=[3, 4],
        logprobs=[-1.5, -2.0],
        model="v7",
        version=7,
        finish_reason="stop",
        prompt_tokens=2,
        completion_tokens=2,
        ok=True,
    )


@pytest.mark.parametrize(
    "choice",
    [
        {"token_ids": [3], "logprobs": None},
        {"token_ids": [3], "logprobs": {"content": None}},
        {"token_ids": None, "logprobs": None},
        {"token_ids": [3, 4], "logprobs": {"content": [{"logprob": -1.0}]}},
    ],
)
def test_what_is_not_complete_is_not_ok(choice):
    assert not ModelCallRecord.from_event(request(**choice).data).ok


def test_the_older_api_is_read_too():
    choice = {
        "prompt_token_ids": [8],
        "token_ids": [3],
        "logprobs": {"token_logprobs": [-1.0]},
    }
    data = request(**choice).data
    del data["response"]["prompt_token_ids"]
    record = ModelCallRecord.from_event(data)
    assert (record.prompt_ids, record.logprobs) == ([8], [-1.0])


def test_calls_are_in_the_order_in_which_they_began_without_failed_ones():
    events = [
        request(at=5.0, latency=100, **sampled(2)),
        request(at=5.5, latency=5000, **sampled(1)),
        request(at=6.0, status="error"),
        rewarded(0.5, "failed", steps=[1.0, 0.0]),
    ]
    result = read_result("r", TASK, "succeeded", None, events)
    assert [call.token_ids for call in result.calls] == [[1], [2]]
    assert (result.outcome, result.reward, result.steps) == ("failed", 0.5, [1.0, 0.0])
    assert result.error is None


@pytest.mark.parametrize(
    ("message", "outcome", "error"),
    [
        ("harness_error: a: b", "harness_error", "a: b"),
        ("the runner died: twice", "infra_error", "the runner died: twice"),
        (None, "infra_error", "the runner reported no reward"),
    ],
)
def test_a_failed_rollout_has_no_reward(message, outcome, error):
    events = [rewarded(1.0, "passed")]
    result = read_result("r", TASK, "failed", message, events)
    assert (result.reward, result.outcome, result.error) == (None, outcome, error)


def test_who_judged_it():
    events = [rewarded(1.0, "passed", judged_by=["wise"])]
    assert read_result("r", TASK, "succeeded", None, events).judged_by == ["wise"]
    events = [rewarded(1.0, "passed")]
    assert read_result("r", TASK, "succeeded", None, events).judged_by == []


def test_success_without_a_reward_is_none_of_the_agents_doing():
    result = read_result("r", TASK, "succeeded", None, [])
    assert (result.reward, result.outcome) == (None, "infra_error")
