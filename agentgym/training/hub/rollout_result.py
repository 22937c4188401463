"""What came of a rollout, read from the events that Agent Lightning recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agentgym.recording.blame import Outcome
from agentgym.training.job.task import EPISODE, Task
from agentgym.training.job.traits import Traits

SKIPPED = "skipped: "
"""What the error of a rollout begins with whose case was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallRecord:
    """A model call, on exactly the tokens that the policy read and sampled.

    Attributes:
        prompt_ids: The P tokens of the prompt.
        token_ids: The N sampled tokens.
        logprobs: Their N log-probabilities, in nats, under the policy that sampled
            them; none unless the rollout is for training.
        model: The served model's name.
        version: The policy version.
        ok: Whether ids and log-probabilities are complete, so that it can be trained.
    """

    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]
    model: str
    version: int
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    ok: bool

    @classmethod
    def from_event(cls, data: dict[str, Any]) -> ModelCallRecord:
        """The record of a "model_request" event, of vLLM's dialect."""
        response = data["response"]
        choice = (response.get("choices") or [{}])[0]
        prompt = response.get("prompt_token_ids") or choice.get("prompt_token_ids")
        prompt_ids, token_ids = prompt or [], choice.get("token_ids") or []
        logprobs = _logprobs(choice.get("logprobs") or {})
        usage = data.get("usage") or {}
        return cls(
            prompt_ids=prompt_ids,
            token_ids=token_ids,
            logprobs=logprobs,
            model=data["server"]["model"],
            version=data["server"]["version"],
            finish_reason=data.get("finish_reason"),
            prompt_tokens=usage.get("prompt_tokens", len(prompt_ids)),
            completion_tokens=usage.get("completion_tokens", len(token_ids)),
            ok=bool(prompt_ids) and 0 < len(token_ids) == len(logprobs),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutResult:
    """A rollout that ended.

    Attributes:
        rollout_id: Its id, which is the episode's, too.
        task: What it played.
        state: "succeeded" when there is a reward, or else "failed".
        outcome: Whether it passed, or what kept it from counting.
        reward: In [0, 1]; None if the outcome is not the agent's doing.
        steps: Rewards of the single model calls, where there are any.
        judged_by: Models of judges and simulated users that took part in the reward.
        traits: What the agent did and said, where its runner tells it.
        calls: The model calls of the last attempt, in the order in which they began.
        error: Why there is no reward.
        episode: Of a runner elsewhere, the whole episode: its `line` of
            `episodes.jsonl`, the `prompts` that models were asked by, by digest, and
            `location` and `one_case` of its scenario.
    """

    rollout_id: str
    task: Task
    state: str
    outcome: Outcome
    reward: float | None = None
    steps: list[float] | None = None
    judged_by: list[str] = field(default_factory=list)
    traits: Traits | None = None
    calls: list[ModelCallRecord] = field(default_factory=list)
    error: str | None = None
    episode: dict[str, Any] | None = None

    @property
    def skipped(self) -> bool:
        """Whether it was left out, so that nothing is lost by it."""
        return self.error is not None and self.error.startswith(SKIPPED)


def read_result(
    rollout_id: str,
    task: Task,
    state: str,
    error: str | None,
    events: Iterable[Any],
) -> RolloutResult:
    """The result of a rollout.

    Args:
        rollout_id: Its id.
        task: What it played.
        state: Its last state.
        error: Its error message: an outcome, a colon and what happened.
        events: Agent Lightning's events of the last attempt.
    """
    calls, reward, episode = [], {}, None
    for event in events:
        if event.event_type == "reward":
            reward = event.data
        elif event.event_type == EPISODE:
            episode = event.data
        elif event.event_type == "model_request" and event.data["status"] == "ok":
            begun = event.timestamp - event.data["latency_ms"] / 1000
            calls.append((begun, ModelCallRecord.from_event(event.data)))
    calls.sort(key=lambda call: call[0])
    outcome, message = _outcome(error)
    rewarded = state == "succeeded" and "value" in reward
    return RolloutResult(
        rollout_id=rollout_id,
        task=task,
        state=state,
        outcome=Outcome(reward["reason"]) if rewarded else outcome,
        reward=float(reward["value"]) if rewarded else None,
        steps=reward.get("steps") if rewarded else None,
        judged_by=reward.get("judged_by", []),
        traits=Traits.from_json(reward["traits"]) if "traits" in reward else None,
        calls=[call for _, call in calls],
        error=None if rewarded else message,
        episode=episode,
    )


def _outcome(error: str | None) -> tuple[Outcome, str]:
    outcome, colon, message = (error or "").partition(": ")
    if colon and outcome in Outcome.__members__:
        return Outcome(outcome), message
    return Outcome.infra_error, error or "the runner reported no reward"


def _logprobs(recorded: dict[str, Any]) -> list[float]:
    """Of a chat completion, or in the shape of the older API."""
    if "content" in recorded:
        return [entry["logprob"] for entry in recorded["content"] or ()]
    return list(recorded.get("token_logprobs") or ())
