"""An episode as spans: `invoke_agent`, and in it `chat` and `execute_tool`.

The names of attributes are those of OpenTelemetry's semantic conventions for tests and
for generative AI, https://github.com/open-telemetry/semantic-conventions-genai; what
has none there begins with `agentgym.`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agentgym.playing.episode import Episode
from agentgym.recording.trajectory import (
    Message,
    ModelCall,
    ToolCall,
    Trajectory,
    reply_of,
)
from agentgym.report.otel import messages
from agentgym.runs.spending import is_local

Attributes = dict[str, str | bool | int | float | list[str]]

_PROVIDERS = {
    "claude": "anthropic",
    "command": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "grok": "x_ai",
    "mistral": "mistral_ai",
}
"""By the beginning of a model's name; whatever else is asked in OpenAI's way."""


@dataclass(slots=True, kw_only=True)
class Event:
    """Something that happened at the end of a span."""

    name: str
    attributes: Attributes


@dataclass(slots=True, kw_only=True)
class Span:
    """An operation.

    Attributes:
        start: Seconds since 1970.
        duration: Seconds.
        remote: Whether another process did the work.
        failed: Whether it ended in an error.
        description: What the error said.
    """

    name: str
    start: float
    duration: float
    attributes: Attributes
    remote: bool = False
    failed: bool = False
    description: str | None = None
    events: list[Event] = field(default_factory=list)


def spans_of(
    episode: Episode, *, content: bool, run: str = ""
) -> tuple[Span, list[Span]]:
    """The episode's span, and those within it in the order in which they began.

    Args:
        episode: As `Episode.from_json` gives it: of a sane size, and nobody else's.
        content: Whether messages, arguments, results and texts of errors are exported.
        run: The run's id.
    """
    begun = episode.start + episode.attempt_start
    heard = messages.heard(episode.trajectory) if content else {}
    inner = []
    for step in episode.trajectory.steps:
        if step.model is not None:
            sent = heard.get(id(step.model), []) if content else None
            inner.append(_chat(step.model, episode, begun, sent))
        inner += [
            _tool(call, begun, content=content)
            for call in step.tool_calls
            if call.executed or call.error is not None or call.withheld
        ]
    inner.sort(key=lambda span: span.start)
    return _agent(episode, run, content=content), inner


def _agent(episode: Episode, run: str, *, content: bool) -> Span:
    case = episode.case
    calls = episode.trajectory.model_calls
    model = next((call.model for call in calls if call.model), None)
    attributes: Attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": _provider(model, episode.policy),
        "gen_ai.conversation.id": episode.id,
        "gen_ai.usage.input_tokens": sum(c.prompt_tokens or 0 for c in calls),
        "gen_ai.usage.output_tokens": sum(c.completion_tokens or 0 for c in calls),
        "test.suite.name": episode.scenario.partition("::")[0],
        "test.case.name": episode.scenario,
        "agentgym.episode.index": episode.index,
        "agentgym.outcome": episode.outcome.value,
        "agentgym.reward": episode.reward,
        "agentgym.attempts": episode.attempts,
    }
    if model is not None:
        attributes["gen_ai.request.model"] = model
    if episode.counted:
        passed = episode.outcome.value == "passed"
        attributes["test.case.result.status"] = "pass" if passed else "fail"
    if "split" in case and "index" in case:
        attributes["agentgym.case"] = f"{case['split']}-{case['index']}"
    if episode.trajectory.interrupted:
        attributes["agentgym.waiting"] = True
    if run:
        attributes["agentgym.run.id"] = run
    if episode.phase is not None:
        attributes["agentgym.phase"] = episode.phase
    attributes |= _server(episode.policy)
    if content:
        attributes |= _content(episode.trajectory)
    span = Span(
        name="invoke_agent",
        start=episode.start,
        duration=episode.duration,
        attributes=attributes,
        events=[_evaluation(check, content=content) for check in episode.checks],
    )
    return _with_error(span, episode.error, content=content)


def _content(trajectory: Trajectory) -> Attributes:
    history, now = trajectory.history, trajectory.messages
    first = next(
        (i for i, m in enumerate(now) if m.get("role") == "assistant"), len(now)
    )
    sent, first = history + now, len(history) + first
    found: Attributes = {"gen_ai.input.messages": _json(messages.inputs(sent[:first]))}
    system = messages.instructions(sent[:first])
    if system:
        found["gen_ai.system_instructions"] = _json(system)
    reply = reply_of(now)
    if reply:
        said = {"role": "assistant", "content": reply}
        found["gen_ai.output.messages"] = _json(messages.output(said))
    return found


def _evaluation(check: dict[str, Any], *, content: bool) -> Event:
    """A check, in the way of the conventions' evaluation of an output."""
    attributes: Attributes = {
        "gen_ai.evaluation.name": check["text"],
        "gen_ai.evaluation.score.value": float(check["share"]),
        "gen_ai.evaluation.score.label": check["status"],
        "agentgym.check.line": f"{check['file']}:{check['line']}",
    }
    if content and check.get("message"):
        attributes["gen_ai.evaluation.explanation"] = check["message"]
    return Event(name="gen_ai.evaluation.result", attributes=attributes)


def _chat(
    call: ModelCall, episode: Episode, begun: float, sent: list[Message] | None
) -> Span:
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider(call.model, episode.policy),
        "gen_ai.conversation.id": episode.id,
    }
    if call.model:
        attributes["gen_ai.request.model"] = call.model
    if call.prompt_tokens is not None:
        attributes["gen_ai.usage.input_tokens"] = call.prompt_tokens
    if call.completion_tokens is not None:
        attributes["gen_ai.usage.output_tokens"] = call.completion_tokens
    if call.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = [call.finish_reason]
    attributes |= _server(episode.policy) | _nested(call.path)
    if sent:
        attributes["gen_ai.input.messages"] = _json(messages.inputs(sent))
        system = messages.instructions(sent)
        if system:
            attributes["gen_ai.system_instructions"] = _json(system)
    if sent is not None and call.message:
        said = messages.output(call.message, call.finish_reason)
        attributes["gen_ai.output.messages"] = _json(said)
    span = Span(
        name=f"chat {call.model}" if call.model else "chat",
        start=begun + call.start,
        duration=call.duration,
        attributes=attributes,
        remote=True,
    )
    return _with_error(span, call.error, content=sent is not None)


def _tool(call: ToolCall, begun: float, *, content: bool) -> Span:
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.type": "function",
        **_nested(call.path),
    }
    if content:
        given = call.arguments if call.malformed is None else call.malformed
        attributes["gen_ai.tool.call.arguments"] = _json(given)
        if call.error is None:
            attributes["gen_ai.tool.call.result"] = _json(call.result)
    span = Span(
        name=f"execute_tool {call.name}",
        start=begun + call.start,
        duration=call.duration,
        attributes=attributes,
    )
    if call.approval is not None:
        span.attributes["agentgym.approval"] = call.approval
    if call.approval == "waiting":
        return span
    if not call.executed:
        span.attributes["error.type"] = "not_executed"
        span.failed = True
        span.description = call.error if content else None
        return span
    return _with_error(span, call.error, content=content)


def _with_error(span: Span, error: str | None, *, content: bool) -> Span:
    if error is not None:
        kind, colon, _ = error.partition(":")
        # What an agent's framework says of an error need not begin with its type.
        named = bool(colon) and kind.replace(".", "").replace("_", "").isalnum()
        span.attributes["error.type"] = kind if named else "_OTHER"
        span.failed = True
        span.description = error if content else None
    return span


def _provider(model: str | None, policy: str | None) -> str:
    if is_local(policy):
        return "agentgym"
    name = (model or "").lower().rpartition("/")[2]
    return next(
        (maker for start, maker in _PROVIDERS.items() if name.startswith(start)),
        "openai",
    )


def _server(policy: str | None) -> Attributes:
    """Where a hosted policy is."""
    if policy is None or is_local(policy):
        return {}
    url = urlsplit(policy)
    port = url.port or (443 if url.scheme == "https" else 80)
    return {"server.address": url.hostname, "server.port": port} if url.hostname else {}


def _nested(path: tuple[str, ...]) -> Attributes:
    return {"gen_ai.agent.name": path[-1]} if path else {}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
