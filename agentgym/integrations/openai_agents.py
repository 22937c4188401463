"""The OpenAI Agents SDK: agents run by its `Runner`, watched through its hooks."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agents import (
    Agent,
    AgentHooks,
    FunctionTool,
    ModelBehaviorError,
    OpenAIChatCompletionsModel,
    RunConfig,
    RunHooks,
    Runner,
)
from openai import AsyncOpenAI

from agentgym.integrations.messages import assistant, begin, field, text_of
from agentgym.integrations.protocol import AsyncDriver
from agentgym.recorder import Recorder, current
from agentgym.trajectory import Message, ModelCall, ToolCall

if TYPE_CHECKING:
    from agentgym.policy.endpoint import PolicyEndpoint

TESTED = ("0.19.0", "0.20.0")
"""Versions of openai-agents."""


def driver(agent: Any) -> OpenAIAgentsDriver:
    """The driver of an agent."""
    return OpenAIAgentsDriver(agent)


class OpenAIAgentsDriver(AsyncDriver):
    """Plays the turns of a conversation; its history is the runs' input list."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._history: list[Any] = []
        self._config = RunConfig(tracing_disabled=True)
        for member, path in _members(agent):
            _watch(member, path)

    async def take_async(self, message: str, recorder: Recorder) -> Any:
        """Runs the agent on the message."""
        recorder.message({"role": "user", "content": message})
        given = [*self._history, {"role": "user", "content": message}]
        watcher = _Watcher(())
        try:
            result = await Runner.run(
                self._agent, given, hooks=_RunWatcher(watcher), run_config=self._config
            )
        except Exception as exc:
            watcher.ended(recorder, exc)
            raise
        self._history = result.to_input_list()
        output = result.final_output
        dump = getattr(output, "model_dump_json", None)
        recorder.reply(str(output) if dump is None else dump())
        return result

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets all models of a run ask the policy."""
        client = AsyncOpenAI(
            base_url=policy.base_url, api_key=policy.api_key, max_retries=0
        )
        self._config.model = OpenAIChatCompletionsModel(policy.model, client)


def _members(agent: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The agents that others have as their tools; a run tells of all others."""
    seen: set[int] = set()
    todo: list[tuple[Any, tuple[str, ...]]] = [(agent, ())]
    while todo:
        member, path = todo.pop()
        if id(member) in seen:
            continue
        seen.add(id(member))
        if path:
            yield member, path
        for tool in getattr(member, "tools", ()):
            _tell_errors(tool)
            inner = getattr(tool, "_agent_instance", None)
            if inner is not None:
                todo.append((inner, (*path, inner.name)))
        others = getattr(member, "handoffs", ())
        todo += [(other, path) for other in others if isinstance(other, Agent)]


def _tell_errors(tool: Any) -> None:
    """Records what a tool raises before the SDK makes a text of it."""
    from agents.tool import default_tool_error_function

    if not isinstance(tool, FunctionTool):
        return
    own = tool._failure_error_function
    if own is None and tool._use_default_failure_error_function:
        own = default_tool_error_function
    if own is None or hasattr(own, "watched_by_agentgym"):
        return

    @functools.wraps(own)
    def failed(context: Any, error: Exception) -> Any:
        recorder, call = _running.get(id(context), (None, None))
        if recorder is not None and call is not None:
            recorder.tool_failed(call, error)
            if isinstance(error, ModelBehaviorError) and "Invalid JSON" in str(error):
                # The arguments do not fit: the tool did not run.
                call.error = f"TypeError: {call.name}() {error}"
                call.executed = False
            _running.pop(id(context))
        return own(context, error)

    failed.watched_by_agentgym = True  # type: ignore[attr-defined]
    tool._failure_error_function = failed
    tool._use_default_failure_error_function = False


_running: dict[int, tuple[Recorder, ToolCall]] = {}
"""By the id of a tool's context, which lives as long as the tool runs."""


def _watch(agent: Any, path: tuple[str, ...]) -> None:
    if not isinstance(agent.hooks, _AgentWatcher):
        agent.hooks = _AgentWatcher(_Watcher(path), agent.hooks)


class _Watcher:
    """Records the model and tool calls that hooks tell of."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._models: dict[int, ModelCall] = {}

    def model_starts(self, context: Any, agent: Any, items: list[Any]) -> None:
        recorder = current()
        if recorder is not None:
            model = agent.model
            name = model if isinstance(model, str) else getattr(model, "model", None)
            told = [message for item in items for message in _messages(item)]
            self._models[id(context)] = begin(recorder, told, name, path=self._path)

    def model_ends(self, context: Any, response: Any) -> None:
        recorder, call = current(), self._models.pop(id(context), None)
        if recorder is not None and call is not None:
            message = _told(response.output)
            recorder.model_finished(
                call,
                message=message,
                prompt_tokens=response.usage.input_tokens or None,
                completion_tokens=response.usage.output_tokens or None,
                finish_reason="tool_calls" if "tool_calls" in message else "stop",
            )

    def tool_starts(self, context: Any, tool: Any) -> None:
        recorder = current()
        call_id = getattr(context, "tool_call_id", None)
        if recorder is None or call_id is None:
            return
        arguments: Any = None
        with contextlib.suppress(ValueError):
            arguments = json.loads(context.tool_arguments or "{}")
        if isinstance(arguments, dict):  # malformed ones never reach the tool
            _running[id(context)] = (
                recorder,
                recorder.tool_started(
                    tool.name, arguments, call_id=call_id, path=self._path
                ),
            )

    def tool_ends(self, context: Any, result: Any) -> None:
        recorder, call = _running.pop(id(context), (None, None))
        if recorder is not None and call is not None:
            recorder.tool_finished(call, result)

    def ended(self, recorder: Recorder, exc: Exception) -> None:
        """The run raised: the SDK tells no hook of it."""
        for asking in self._models.values():
            recorder.model_failed(asking, exc)
        self._models.clear()
        for key, (owner, call) in list(_running.items()):
            if owner is recorder:
                # A tool without a `failure_error_function` ends the run.
                recorder.tool_failed(call, exc.__cause__ or exc)
                del _running[key]
        if isinstance(exc, ModelBehaviorError) and recorder.trajectory.steps:
            for asked in recorder.trajectory.steps[-1].tool_calls:
                if not asked.executed:
                    recorder.tool_answered(asked.id, str(exc), refused=True)


class _RunWatcher(RunHooks[Any]):
    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: Any
    ) -> None:
        self._watcher.model_starts(context, agent, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self._watcher.model_ends(context, response)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self._watcher.tool_starts(context, tool)

    async def on_tool_end(
        self, context: Any, agent: Any, tool: Any, result: Any
    ) -> None:
        self._watcher.tool_ends(context, result)


class _AgentWatcher(AgentHooks[Any]):
    """The same for an agent that is a tool: its run has hooks of its own."""

    def __init__(self, watcher: _Watcher, own: Any) -> None:
        self._watcher = watcher
        self._own = own if own is not None else AgentHooks()

    async def on_start(self, context: Any, agent: Any) -> None:
        await self._own.on_start(context, agent)

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        await self._own.on_end(context, agent, output)

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        await self._own.on_handoff(context, agent, source)

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: Any
    ) -> None:
        self._watcher.model_starts(context, agent, input_items)
        await self._own.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self._watcher.model_ends(context, response)
        await self._own.on_llm_end(context, agent, response)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self._watcher.tool_starts(context, tool)
        await self._own.on_tool_start(context, agent, tool)

    async def on_tool_end(
        self, context: Any, agent: Any, tool: Any, result: Any
    ) -> None:
        self._watcher.tool_ends(context, result)
        await self._own.on_tool_end(context, agent, tool, result)


def _messages(item: Any) -> Iterator[Message]:
    """An input item of the Responses API as chat messages."""
    if field(item, "type") == "function_call_output":
        output = field(item, "output")
        yield {
            "role": "tool",
            "tool_call_id": field(item, "call_id"),
            "content": output if isinstance(output, str) else text_of(output),
        }
    elif field(item, "role") in ("user", "assistant"):
        yield {"role": field(item, "role"), "content": text_of(field(item, "content"))}


def _told(output: list[Any]) -> Message:
    text, calls = "", []
    for item in output:
        kind = field(item, "type")
        if kind == "message":
            text += "".join(
                str(field(part, "text") or field(part, "refusal") or "")
                for part in field(item, "content")
            )
        elif kind == "function_call":
            calls.append((item.call_id, item.name, item.arguments))
    return assistant(text, calls)
