"""Sees the calls of models and tools in an invocation, nested graphs included."""
# The handler's signatures are LangChain's.

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook

from agentgym.integrations.answering.fragments import Fragments
from agentgym.integrations.langchain.openai_shape import (
    assistant_message,
    join_answers,
    text,
    told_by,
)
from agentgym.integrations.messages import reading
from agentgym.integrations.redirecting import warn_elsewhere
from agentgym.recording.agent_run import agent_run
from agentgym.recording.asked import note_asked

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

    from agentgym.recording.recorder import Recorder
    from agentgym.recording.trajectory import ModelCall, ToolCall


class RecordingHandler(BaseCallbackHandler):
    """Writes model and tool events into a recorder, from whichever thread.

    Args:
        recorder: The episode's.
        model: The policy's, if the runnable was redirected.
        path: Of the agent of another kind that it is within.
    """

    # Limits and stops are raised by the recorder and must reach the agent.
    raise_error = True
    run_inline = True
    # Every node of a graph is a chain: events that nobody needs. (`ignore_agent` must
    # stay off: LangChain counts the tool events among the agent's.)
    ignore_chain = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(
        self,
        recorder: Recorder,
        model: str | None = None,
        path: tuple[str, ...] = (),
    ) -> None:
        self._recorder = recorder
        self._model = model
        self._outside = path
        self._models: dict[UUID, ModelCall] = {}
        self._tools: dict[UUID, ToolCall] = {}
        self._written: dict[UUID, Fragments] = {}
        self._agents: dict[str, tuple[tuple[str, ...], str | None]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model call begins.

        Args:
            serialized: How to build the model; not needed.
            messages: The request, as the one conversation of a batch.
            run_id: LangChain's number of this call.
            metadata: Names of the model and of the graph's node.
            **kwargs: What else LangChain gives.
        """
        said = [m for m in messages[0] if isinstance(m, HumanMessage)]
        self._watch_thread()
        about = metadata or {}
        path = self._path(about)
        join_answers(self._recorder, messages[0], path)
        call = self._recorder.model_started(
            self._name(about),
            heard=map(text, said),
            heard_ids=[(m.id, text(m)) for m in said],
            path=path,
        )
        self._models[run_id] = call
        note_asked(
            self._recorder.trajectory,
            call,
            [text(m) for m in messages[0] if isinstance(m, SystemMessage)],
            (kwargs.get("invocation_params") or {}).get("tools"),
        )

    def _watch_thread(self) -> None:
        """Notes the thread of a graph that the user's own code invokes.

        What is kept of an episode that is over may have been deleted since; of two at
        a time, each writes what the other one reads.
        """
        config = var_child_runnable_config.get() or {}
        given = config.get("configurable") or {}
        store, thread = given.get("__pregel_checkpointer"), given.get("thread_id")
        if store and thread is not None:
            check = self._recorder.shared_state
            self._recorder.refuse(check.use_thread(store, str(thread), lambda: True))

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A call of a completion model begins.

        Args:
            serialized: How to build the model; not needed.
            prompts: The request; it has no messages to read.
            run_id: LangChain's number of this call.
            metadata: Name of the model.
            **_: What else LangChain gives.
        """
        name = self._name(metadata or {})
        self._models[run_id] = self._recorder.model_started(name)

    def on_llm_new_token(
        self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any
    ) -> None:
        """A part of a streamed answer; LangChain repairs the whole's arguments.

        Args:
            token: The text; not needed.
            run_id: LangChain's number of this call.
            chunk: The part, with its pieces of tool calls.
            **kwargs: What else LangChain gives.
        """
        message = getattr(chunk, "message", None)
        for part in getattr(message, "tool_call_chunks", None) or ():
            written = self._written.setdefault(run_id, Fragments())
            written.add(
                part.get("index"), part.get("id"), part.get("name"), part.get("args")
            )

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The model answered.

        Args:
            response: The answer, as the one generation of a batch.
            run_id: LangChain's number of this call.
            **kwargs: What else LangChain gives.
        """
        call = self._models.pop(run_id, None)
        written = self._written.pop(run_id, Fragments()).calls
        if call is None:
            return
        with reading(self._recorder, call):
            generation = response.generations[0][0]
            message = getattr(generation, "message", None)
            usage = getattr(message, "usage_metadata", None) or {}
            details = getattr(message, "response_metadata", None) or {}
            self._recorder.model_finished(
                call,
                message=(
                    assistant_message(message, written)
                    if isinstance(message, AIMessage)
                    else {"role": "assistant", "content": generation.text}
                ),
                prompt_tokens=usage.get("input_tokens"),
                completion_tokens=usage.get("output_tokens"),
                finish_reason=details.get("finish_reason"),
            )

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """The model call raised.

        Args:
            error: What it raised.
            run_id: LangChain's number of this call.
            **kwargs: What else LangChain gives.
        """
        call = self._models.pop(run_id, None)
        self._written.pop(run_id, None)
        if call is not None:
            self._recorder.model_failed(call, error)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        tool_call_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool begins to run.

        Args:
            serialized: The tool's name.
            input_str: Its input as text.
            run_id: LangChain's number of this call.
            inputs: Its arguments, where it has several.
            tool_call_id: The model's number of the call, where it asked for it.
            metadata: Of the graph's node.
            **kwargs: What else LangChain gives.
        """
        name = (serialized or {}).get("name") or kwargs.get("name") or ""
        arguments = {"input": input_str} if inputs is None else dict(inputs)
        self._tools[run_id] = self._recorder.tool_started(
            name, arguments, call_id=tool_call_id, path=self._path(metadata or {})
        )

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The tool returned.

        Args:
            output: Its result, or a message with it.
            run_id: LangChain's number of this call.
            **kwargs: What else LangChain gives.
        """
        call = self._tools.pop(run_id, None)
        if call is None:
            return
        output = told_by(output, call.id)
        if not isinstance(output, ToolMessage):
            self._recorder.tool_finished(call, output)
            return
        # The tool itself made this message of its exception (handle_tool_error).
        error = text(output) if output.status == "error" else None
        self._recorder.tool_finished(call, output.content, error=error)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """The tool raised.

        Args:
            error: What it raised.
            run_id: LangChain's number of this call.
            **kwargs: What else LangChain gives.
        """
        call = self._tools.pop(run_id, None)
        if call is None:
            return
        if _is_interrupt(error):
            self._recorder.tool_interrupted(call)
        else:
            self._recorder.tool_failed(call, error)

    def _name(self, metadata: dict[str, Any]) -> str | None:
        """Whom is asked: models that were redirected say so themselves."""
        name = metadata.get("ls_model_name")
        if self._model is not None and name != self._model:
            warn_elsewhere(str(name or "a model without a name"))
        return name

    def _path(self, metadata: dict[str, Any]) -> tuple[str, ...]:
        """The agents or graphs that a node is nested in.

        LangGraph gives the nodes as a namespace, such as `plan:ID|tools:ID|model:ID`.
        An agent with a name is better known by that; graphs within it inherit it.
        """
        return self._outside + self._path_inside(metadata)

    def _path_inside(self, metadata: dict[str, Any]) -> tuple[str, ...]:
        namespace = str(metadata.get("langgraph_checkpoint_ns") or "")
        outer = namespace.split("|")[:-1]
        name = metadata.get("lc_agent_name")
        if not outer:
            self._agents[""] = ((), name)
            return ()
        known = self._agents.get("|".join(outer))
        if known is None:
            nodes = tuple(part.partition(":")[0] for part in outer)
            path, outer_name = self._agents.get(
                "|".join(outer[:-1]), (nodes[:-1], None)
            )
            own = nodes[-1] if name in (None, outer_name) else str(name)
            known = self._agents["|".join(outer)] = ((*path, own), name)
        return known[0]


def watch() -> None:
    """Gives what runs within an agent's run a handler, if it has none already."""
    hook: Any = _HandlerOfRun()
    register_configure_hook(hook, inheritable=True, handle_class=RecordingHandler)


class _HandlerOfRun:
    """What LangChain takes for a context variable: one handler a run, made when asked.

    LangChain may be imported in the middle of a run: a variable would not be set then.
    """

    def get(self) -> RecordingHandler | None:
        run = agent_run()
        if run is None:
            return None
        handler = run.kept.get("langchain")
        if handler is None:
            made = RecordingHandler(run.recorder, path=run.path)
            handler = run.kept.setdefault("langchain", made)
        return handler  # type: ignore[no-any-return]


def _is_interrupt(error: BaseException) -> bool:
    """Whether the tool, or a graph within it, stopped to ask a person."""
    # Not imported: plain LangChain needs no LangGraph.
    names = ("GraphInterrupt", "GraphBubbleUp")
    return any(cls.__name__ in names for cls in type(error).__mro__)
