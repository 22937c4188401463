"""CrewAI: agents and crews.

Tools are seen through CrewAI's tool hooks, which run within the call; its event bus
reports events in other threads, later, and in any order. Models are seen where CrewAI
calls them, `LLM.call`, and redirected there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from crewai import LLM, Agent, BaseLLM, Crew
from crewai.hooks import register_after_tool_call_hook, register_before_tool_call_hook
from crewai.utilities.llm_utils import create_llm

from agentgym.errors import UsageError
from agentgym.integrations.messages import assistant, begin, field, reading
from agentgym.integrations.redirecting import plain_headers
from agentgym.recording.agent_run import run_of_another
from agentgym.recording.plain import printed
from agentgym.recording.recorder import Recorder, current
from agentgym.recording.trajectory import Message, ToolCall

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint

TESTED = ("1.15.20", "1.15.30")
"""Versions of crewai."""

_redirected: ContextVar[BaseLLM | None] = ContextVar(
    "agentgym_crewai_redirected", default=None
)
_usage: ContextVar[dict[str, Any] | None] = ContextVar(
    "agentgym_crewai_usage", default=None
)
_SETTINGS = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed"),
    *("frequency_penalty", "presence_penalty", "n", "logit_bias", "logprobs"),
    *("top_logprobs", "reasoning_effort", "response_format", "stream", "timeout"),
    *("default_headers", "default_query", "api", "instructions", "store", "include"),
)
"""All that a model of CrewAI's may be told but whom it asks."""
_tool_error = re.compile(r"Error executing tool: |Tool '.*' has reached ")
_misfit = re.compile(r".* arguments validation failed: (?=\d+ validation error)")


def driver(agent: Any) -> CrewAIDriver:
    """The driver of an agent or a crew."""
    return CrewDriver(agent) if isinstance(agent, Crew) else CrewAIDriver(agent)


class CrewAIDriver:
    """Plays the turns of a conversation with an agent, by `kickoff`."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._twin: BaseLLM | None = None
        self._history: list[Message] = []
        for llm in self._models():
            _watch(llm)

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Lets the agent answer, knowing the conversation so far.

        Args:
            message: What the user says; None to go on from the history's end.
            recorder: Of the episode; what the agent does is written into it.
        """
        given = list(self._history)
        if message is not None:
            given.append({"role": "user", "content": message})
            recorder.message(given[-1])
        with self._redirection():
            value = self._agent.kickoff(given)
        # With its tool calls, as in a conversation that was never interrupted; the
        # system prompt is made anew.
        self._history = [m for m in value.messages if m["role"] != "system"]
        recorder.reply(value.raw)
        return value

    async def take_async(self, message: str | None, recorder: Recorder) -> Any:
        """The same in a thread: CrewAI's own async way needs one for tools, too.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        return await asyncio.to_thread(self.take, message, recorder)

    def remember(self, history: Sequence[Message]) -> None:
        """Begins with these messages.

        Args:
            history: In OpenAI's shape.
        """
        self._history = list(history)

    def redirect(self, policy: PolicyEndpoint) -> None:
        """Lets the models of all agents ask the policy, whoever made them.

        CrewAI gives every maker's models OpenAI's messages and tools.
        """
        own = next(iter(self._models()), None)
        given: dict[str, Any] = {n: getattr(own, n, None) for n in _SETTINGS}
        # Not by `in`: 0.0 == False, and is a temperature.
        kept = {k: v for k, v in given.items() if v or type(v) in (int, float)}
        if "default_headers" in kept:
            kept["default_headers"] = plain_headers(kept["default_headers"])
        # What CrewAI's model has no field for is in there, `extra_body` for example.
        kept |= getattr(own, "additional_params", None) or {}
        self._twin = LLM(
            model=f"openai/{policy.model}",
            base_url=policy.base_url,
            api_key=policy.api_key,
            max_retries=0,
            **kept,
        )
        _keep_usage(self._twin)

    @contextlib.contextmanager
    def _redirection(self) -> Iterator[None]:
        token = _redirected.set(self._twin)
        try:
            yield
        finally:
            _redirected.reset(token)

    def _models(self) -> list[BaseLLM]:
        return _models_of(self._agent)


class CrewDriver(CrewAIDriver):
    """Kicks a crew off with the user's message as its input."""

    def __init__(self, crew: Any) -> None:
        super().__init__(crew)
        # A kickoff fills the placeholders in, once and for all.
        self._placeholders = sorted(crew.fetch_inputs())

    def take(self, message: str | None, recorder: Recorder) -> Any:
        """Runs the crew; it has no conversation, so each message is a new run.

        Args:
            message: What the user says.
            recorder: Of the episode; what the agent does is written into it.
        """
        where = self._input()
        recorder.message({"role": "user", "content": message})
        with self._redirection():
            value = self._agent.kickoff(inputs={where: message})
        recorder.reply(value.raw)
        return value

    def remember(self, history: Sequence[Message]) -> None:
        """Raises: a crew has no conversation."""
        raise UsageError(
            "agent.run(): a crew has no conversation and takes no history: give it as "
            "a part of the message, or measure one of its agents"
        )

    def _input(self) -> str:
        """The one `{placeholder}` of the crew's texts, where the message goes."""
        names = self._placeholders
        if len(names) == 1:
            return str(names[0])
        if "message" in names:
            return "message"
        known = ", ".join(names) or "none"
        raise UsageError(
            "the crew does not say where the user's message goes: write {message} in "
            f"the description of its first task (placeholders found: {known})"
        )


def _models_of(agent: Any) -> list[BaseLLM]:
    """The models of an agent or a crew."""
    if not isinstance(agent, Crew):
        return _made(agent.llm)
    agents = [*agent.agents, agent.manager_agent, *(t.agent for t in agent.tasks)]
    for name in ("manager_llm", "planning_llm"):
        # Of an agent that the crew makes when it begins; so are models of names.
        llm = getattr(agent, name)
        if isinstance(llm, str):
            setattr(agent, name, create_llm(llm))
    return _made(
        *(each.llm for each in agents if each is not None),
        agent.manager_llm,
        agent.planning_llm,
    )


def _made(*models: Any) -> list[BaseLLM]:
    return [llm for llm in models if isinstance(llm, BaseLLM)]


def _watch(llm: BaseLLM) -> None:
    """Records what the model is asked and answers, in whichever episode."""
    if "call" not in vars(llm):
        _keep_usage(llm)
        vars(llm)["call"] = _recorded(llm, llm.call)
        vars(llm)["acall"] = _recorded_async(llm, llm.acall)


def _keep_usage(llm: BaseLLM) -> None:
    """Lets each call know its tokens; the model's own counter is for all calls."""
    own = llm._track_token_usage_internal

    @functools.wraps(own)
    def track(usage: dict[str, Any]) -> None:
        of_this_call = _usage.get()
        if of_this_call is not None:
            of_this_call.update(usage)
        own(usage)

    vars(llm)["_track_token_usage_internal"] = track


class _Asking:
    """One call of a model, from its request to its answer or exception."""

    def __init__(
        self, recorder: Recorder, llm: BaseLLM, messages: Any, given: dict[str, Any]
    ) -> None:
        self._recorder = recorder
        listed = messages if isinstance(messages, list) else [_user(messages)]
        path = _path(given.get("from_agent"))
        tools = given.get("tools")
        self._call = begin(recorder, listed, llm.model, path=path, tools=tools)
        self._used: dict[str, Any] = {}
        self._token: Token[dict[str, Any] | None] | None = None

    def __enter__(self) -> _Asking:
        self._token = _usage.set(self._used)
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, trace: Any) -> None:
        if self._token is not None:
            _usage.reset(self._token)
        if isinstance(exc, Exception):
            self._recorder.model_failed(self._call, exc)

    def end(self, answer: Any) -> Any:
        with reading(self._recorder, self._call):
            message = _as_message(answer)
            self._recorder.model_finished(
                self._call,
                message=message,
                prompt_tokens=self._used.get("prompt_tokens"),
                completion_tokens=self._used.get("completion_tokens"),
                finish_reason="tool_calls" if "tool_calls" in message else "stop",
            )
        return answer


def _recorded(llm: BaseLLM, own: Any) -> Any:
    @functools.wraps(own)
    def call(messages: Any, *args: Any, **kwargs: Any) -> Any:
        twin = _redirected.get()
        ask = own if twin is None else twin.call
        recorder = current()
        if recorder is None:
            return ask(messages, *args, **kwargs)
        with _Asking(recorder, twin or llm, messages, kwargs) as asking:
            answer = ask(messages, *args, **kwargs)
        return asking.end(answer)

    return call


def _recorded_async(llm: BaseLLM, own: Any) -> Any:
    @functools.wraps(own)
    async def acall(messages: Any, *args: Any, **kwargs: Any) -> Any:
        twin = _redirected.get()
        ask = own if twin is None else twin.acall
        recorder = current()
        if recorder is None:
            return await ask(messages, *args, **kwargs)
        with _Asking(recorder, twin or llm, messages, kwargs) as asking:
            answer = await ask(messages, *args, **kwargs)
        return asking.end(answer)

    return acall


def _path(agent: Any) -> tuple[str, ...]:
    """Agents of a crew are nested in it, by their roles."""
    return () if getattr(agent, "crew", None) is None else (agent.role.strip(),)


def _user(text: Any) -> Message:
    return {"role": "user", "content": str(text)}


def _as_message(answer: Any) -> Message:
    """What `LLM.call` returns, as a message: a text, an object, or tool calls."""
    if isinstance(answer, str):
        return assistant(answer)
    if isinstance(answer, list):
        functions = [(field(c, "id"), field(c, "function")) for c in answer]
        return assistant(
            "",
            [
                (call_id, str(field(f, "name") or ""), field(f, "arguments") or "")
                for call_id, f in functions
                if f is not None
            ],
        )
    dump = getattr(answer, "model_dump_json", None)
    return assistant(printed(answer, str) if dump is None else dump())


def watch() -> None:
    """Registers what does nothing outside of episodes, once for the process."""
    _register_hooks()
    _watch_kickoffs()


def _watch_kickoffs() -> None:
    """Watches the models of agents and crews that run within a callable, or a flow."""
    for kind in (Agent, Crew):
        for name in ("kickoff", "kickoff_async", "akickoff"):
            setattr(kind, name, _watching(getattr(kind, name)))
    own: Any = BaseLLM.__init__

    @functools.wraps(own)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        own(self, *args, **kwargs)
        if run_of_another("crewai") is not None:
            # One that is asked without an agent, as in a flow's step.
            _watch(self)

    BaseLLM.__init__ = made  # type: ignore[method-assign]


def _watching(own: Any) -> Any:
    @functools.wraps(own)
    def kickoff(self: Any, *args: Any, **kwargs: Any) -> Any:
        if run_of_another("crewai") is not None:
            for llm in _models_of(self):
                _watch(llm)
        return own(self, *args, **kwargs)

    return kickoff


def _register_hooks() -> None:
    """Registers hooks that see tools."""
    # A hook gets another context object before and after, but the same arguments.
    running: dict[int, tuple[Recorder, ToolCall]] = {}

    def before(context: Any) -> None:
        recorder = current()
        if recorder is not None and context.tool is not None:
            call = recorder.tool_started(
                context.tool_name,
                dict(context.tool_input),
                path=_path(context.agent),
            )
            running[id(context.tool_input)] = recorder, call

    def after(context: Any) -> None:
        recorder, call = running.pop(id(context.tool_input), (None, None))
        if recorder is None or call is None:
            return
        result = context.raw_tool_result
        failed = isinstance(result, str) and _tool_error.match(result)
        recorder.tool_finished(
            call,
            context.tool_result if failed else result,
            error=_misfit.sub("ValidationError: ", result, 1) if failed else None,
        )

    register_before_tool_call_hook(before)
    register_after_tool_call_hook(after)
