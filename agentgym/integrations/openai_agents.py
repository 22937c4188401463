"""The OpenAI Agents SDK: agents run by its `Runner`, watched through its hooks.

Every run within a driver's turn gets the hooks, also one that a tool begins, and so
does one within an agent of another kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agents import (
    AgentBase,
    FunctionTool,
    Handoff,
    ModelBehaviorError,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    RunHooks,
    Runner,
    RunState,
)
from agents.run import AgentRunner
from openai import AsyncOpenAI

from agentgym.errors import EpisodeStopped, UsageError
from agentgym.integrations.messages import as_items, begin, of_item, of_output, reading
from agentgym.integrations.protocol import AsyncWaitingDriver
from agentgym.integrations.redirecting import client_settings
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.asked import described, told
from agentgym.recording.recorder import Recorder
from agentgym.recording.trajectory import Message, ModelCall, ToolCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint
    from agentgym.integrations.conversation.answers import HumanAnswer

TESTED = ("0.19.0", "0.20.0")
"""Versions of openai-agents."""


_MEMORIES = ("session", "conversation_id", "previous_response_id")
"""Options with which somebody else keeps the conversation."""


def driver(agent: Any, options: Mapping[str, Any] | None = None) -> OpenAIAgentsDriver:
    """The driver of an agent.

    Args:
        agent: The agent.
        options: Of its runs: what `Runner.run` takes beside agent and input.
    """
    return OpenAIAgentsDriver(agent, options or {})


class OpenAIAgentsDriver(AsyncWaitingDriver):
    """Plays the turns of a conversation; its history is the runs' input list."""

    def __init__(self, agent: Any, options: Mapping[str, Any]) -> None:
        self._agent = agent
        self._options = dict(options)
        self._history: list[Any] = []
        self._opens = False
        self._model: OpenAIChatCompletionsModel | OpenAIResponsesModel | None = None

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """Runs the agent on the message.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        given: Any = list(self._history)
        if message is not None:
            said = {"role": "user", "content": message}
            recorder.message(said)
            given = [*given, said]
            if any(self._options.get(name) for name in _MEMORIES):
                # What was before is in there already; a history of ours is not.
                given = given if self._opens else message
        self._opens = False
        return await self._run(given, self._options, recorder)

    async def resume_async(self, answer: HumanAnswer, recorder: Recorder) -> Any:
        """Runs the agent on from where it stopped.

        Args:
            answer: The person's; as a value, whether each call may run, by its id.
            recorder: Of the episode.

        Raises:
            UsageError: The value is of another form.
        """
        state = _answered(self.pending, answer)
        # It is in the state.
        options = {k: v for k, v in self._options.items() if k != "context"}
        return await self._run(state, options, recorder)

    async def _run(
        self, given: Any, options: Mapping[str, Any], recorder: Recorder
    ) -> Any:
        token = _outer.set(_Watcher(recorder, self._model, None))
        try:
            result = await Runner.run(self._agent, given, **options)
        finally:
            _outer.reset(token)
        self.pending = result if result.interruptions else None
        if self.pending is not None:
            asked = [(item.name, item.arguments) for item in result.interruptions]
            recorder.interrupted([{"name": n, "arguments": a} for n, a in asked])
            return result
        self._history = result.to_input_list()
        if self._options.get("previous_response_id"):
            self._options["previous_response_id"] = result.last_response_id
        output = result.final_output
        dump = getattr(output, "model_dump_json", None)
        recorder.reply(str(output) if dump is None else dump())
        return result

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.
        """
        self._history, self._opens = list(as_items(history)), True

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets all models of a run ask the policy."""
        own = getattr(self._agent, "model", None)
        client = AsyncOpenAI(
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **client_settings(getattr(own, "_client", None)),
        )
        # Other settings are the agents' own, and whoever set Responses asks for them.
        responses = isinstance(own, OpenAIResponsesModel)
        kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
        self._model = kind(policy.model, client)


def _answered(result: Any, answer: HumanAnswer) -> Any:
    """The state of a run that waits, with what a person said."""
    if isinstance(answer.value, RunState):
        return answer.value
    state, given = result.to_state(), answer.value
    known = {item.call_id: item for item in result.interruptions}
    if answer.kind == "value" and not (
        isinstance(given, Mapping)
        and given.keys() == known.keys()
        and all(isinstance(allowed, bool) for allowed in given.values())
    ):
        raise UsageError(
            f"{answer.method}: the OpenAI Agents SDK takes a RunState, or True or "
            f"False for each call that waits, by its id: {', '.join(known)}"
        )
    for call_id, item in known.items():
        if given[call_id] if answer.kind == "value" else answer.approves:
            state.approve(item)
        elif answer.reason:
            state.reject(item, rejection_message=answer.reason)
        else:
            state.reject(item)
    return state


_outer: ContextVar[_Watcher | None] = ContextVar(
    "agentgym_openai_agents_outer", default=None
)
"""The watcher of the run that this code is within."""


def watch() -> None:
    """Lets the runs of a driver's turn, nested ones included, have our hooks."""
    runner: Any = AgentRunner
    own_run, own_stream = runner.run, runner.run_streamed

    @functools.wraps(own_run)
    async def run(self: Any, agent: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _outer.get() or _of_another()
        if outer is None:
            return await own_run(self, agent, *args, **kwargs)
        with outer.within(agent, kwargs):
            return await own_run(self, agent, *args, **kwargs)

    @functools.wraps(own_stream)
    def run_streamed(self: Any, agent: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _outer.get() or _of_another()
        if outer is None:
            return own_stream(self, agent, *args, **kwargs)
        # The task that reads the stream begins here, and keeps this context.
        with outer.within(agent, kwargs) as watcher:
            result = own_stream(self, agent, *args, **kwargs)
        watcher.follow(result.run_loop_task)
        return result

    runner.run, runner.run_streamed = run, run_streamed
    own_tools = AgentBase.get_all_tools

    @functools.wraps(own_tools)
    async def get_all_tools(self: Any, *args: Any, **kwargs: Any) -> Any:
        tools = await own_tools(self, *args, **kwargs)
        watcher = _outer.get()
        if watcher is not None:
            # Those of MCP servers, too, and no switched-off ones: to be noted.
            watcher.tools[id(self)] = tools
        return tools

    AgentBase.get_all_tools = get_all_tools  # type: ignore[method-assign]


def _described(tool: Any) -> dict[str, Any]:
    if isinstance(tool, FunctionTool):
        return told(tool.name, tool.description, tool.params_json_schema)
    if isinstance(tool, Handoff):
        return told(tool.tool_name, tool.tool_description, tool.input_json_schema)
    if isinstance(tool, AgentBase):
        name = Handoff.default_tool_name(tool)
        return told(name, Handoff.default_tool_description(tool), {})
    return described(tool)


def _of_another() -> _Watcher | None:
    """For a run within an agent of another kind."""
    run = run_of_another("openai_agents")
    if run is None:
        return None
    return _Watcher(run.recorder, None, run.path or None)


def _watch_errors(tool: Any) -> None:
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
        watcher, call = _running.pop(id(context), (None, None))
        if watcher is not None and call is not None:
            watcher.recorder.tool_failed(call, error)
            if isinstance(error, ModelBehaviorError) and "Invalid JSON" in str(error):
                # The arguments do not fit: the tool did not run.
                call.error = f"TypeError: {call.name}() {error}"
                call.executed = False
        return own(context, error)

    failed.watched_by_agentgym = True  # type: ignore[attr-defined]
    tool._failure_error_function = failed
    tool._use_default_failure_error_function = False


_running: dict[int, tuple[_Watcher, ToolCall]] = {}
"""By the id of a tool's context, which lives as long as the tool runs."""


class _Watcher:
    """Records one run's calls of models and tools.

    Args:
        recorder: Of the episode.
        model: What answers in place of the agents' own models.
        path: Of the run; None before the outermost one.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: OpenAIChatCompletionsModel | OpenAIResponsesModel | None,
        path: tuple[str, ...] | None,
    ) -> None:
        self.recorder = recorder
        self._model = model
        self._path = path or ()
        self._begun = path is not None
        self._models: dict[int, ModelCall] = {}
        self.tools: dict[int, list[Any]] = {}

    @contextlib.contextmanager
    def within(self, agent: Any, options: dict[str, Any]) -> Iterator[_Watcher]:
        """Watches a run that begins within this one.

        Args:
            agent: Whose run it is.
            options: Of the run; they get hooks, and the model.
        """
        path = (*self._path, agent.name) if self._begun else ()
        inner = _Watcher(self.recorder, self._model, path)
        options["hooks"] = _RunWatcher(inner, options.get("hooks"))
        own: dict[str, Any] | RunConfig = options.get("run_config") or RunConfig()
        ours: dict[str, Any] = {"tracing_disabled": True}
        if self._model is not None:
            ours["model"] = self._model
        options["run_config"] = (
            {**own, **ours} if isinstance(own, dict) else replace(own, **ours)
        )
        token = _outer.set(inner)
        try:
            yield inner
        except Exception as exc:
            inner.ended(exc)
            raise
        finally:
            _outer.reset(token)

    def follow(self, stream: asyncio.Task[Any] | None) -> None:
        """Learns how a streamed run ends, which is after its beginning returned."""

        def over(task: asyncio.Task[Any]) -> None:
            exc = None if task.cancelled() else task.exception()
            if isinstance(exc, Exception):
                # The episode may be over before its stream is.
                with contextlib.suppress(EpisodeStopped):
                    self.ended(exc)

        if stream is not None:
            stream.add_done_callback(over)

    def model_starts(
        self, context: Any, agent: Any, system: str | None, items: list[Any]
    ) -> None:
        model = self._model or agent.model
        name = model if isinstance(model, str) else getattr(model, "model", None)
        messages = [message for item in items for message in of_item(item)]
        call = begin(
            self.recorder,
            messages,
            name,
            path=self._path,
            system=[system or ""],
            tools=[*self.tools.get(id(agent), agent.tools), *agent.handoffs],
            describe=_described,
        )
        self._models[id(context)] = call

    def model_ends(self, context: Any, response: Any) -> None:
        call = self._models.pop(id(context), None)
        if call is not None:
            with reading(self.recorder, call):
                message = of_output(response.output)
                self.recorder.model_finished(
                    call,
                    message=message,
                    prompt_tokens=response.usage.input_tokens or None,
                    completion_tokens=response.usage.output_tokens or None,
                    finish_reason="tool_calls" if "tool_calls" in message else "stop",
                )

    def tool_starts(self, context: Any, tool: Any) -> None:
        call_id = getattr(context, "tool_call_id", None)
        if call_id is None:
            return
        arguments: Any = None
        with contextlib.suppress(ValueError):
            arguments = json.loads(context.tool_arguments or "{}")
        if isinstance(arguments, dict):  # malformed ones never reach the tool
            started = self.recorder.tool_started(
                tool.name, arguments, call_id=call_id, path=self._path
            )
            _running[id(context)] = self, started
            _watch_errors(tool)

    def tool_ends(self, context: Any, result: Any) -> None:
        _, call = _running.pop(id(context), (None, None))
        if call is not None:
            self.recorder.tool_finished(call, result)

    def hands_off(self, source: Any, target: Any) -> None:
        """A handoff is a call of a tool, which the SDK reports in another way."""
        names = {
            other.tool_name
            if isinstance(other, Handoff)
            else Handoff.default_tool_name(other)
            for other in source.handoffs
        }
        for asked in self._asked():
            if asked.name in names and not asked.executed:
                # All but the first one are ignored, as the model reads.
                call = self.recorder.tool_started(
                    asked.name, asked.arguments, call_id=asked.id, path=self._path
                )
                self.recorder.tool_finished(call, {"assistant": target.name})
                return

    def ended(self, exc: Exception) -> None:
        """The run raised: the SDK reports that to no hook."""
        for asking in self._models.values():
            self.recorder.model_failed(asking, exc)
        self._models.clear()
        for key, (owner, call) in list(_running.items()):
            if owner is self:
                # A tool without a `failure_error_function` ends the run.
                self.recorder.tool_failed(call, exc.__cause__ or exc)
                del _running[key]
        if isinstance(exc, ModelBehaviorError):
            for asked in self._asked():
                if not asked.executed:
                    self.recorder.tool_answered(asked.id, str(exc), refused=True)

    def _asked(self) -> list[ToolCall]:
        """What this run's model asked for last."""
        for step in reversed(self.recorder.trajectory.steps):
            if step.model is not None and step.model.path == self._path:
                return step.tool_calls
        return []


class _RunWatcher(RunHooks[Any]):
    def __init__(self, watcher: _Watcher, own: Any) -> None:
        self._watcher = watcher
        self._own = RunHooks() if own is None else own

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        await self._own.on_agent_start(context, agent)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        await self._own.on_agent_end(context, agent, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self._watcher.hands_off(from_agent, to_agent)
        await self._own.on_handoff(context, from_agent, to_agent)

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: Any
    ) -> None:
        self._watcher.model_starts(context, agent, system_prompt, input_items)
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
