"""An agent for those who bring only tools: LangChain on the policy's endpoint."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from agentgym.distribution import install_command
from agentgym.errors import UsageError
from agentgym.recording.plain import printed, shorten

if TYPE_CHECKING:
    import httpx

    from agentgym.endpoint import PolicyEndpoint

MODEL_SECONDS = 60
NEEDS_LANGCHAIN = (
    f"the shipped agent needs LangChain: {install_command('langchain')}, or write "
    "an `agent` fixture in conftest.py that returns your own agent"
)


def check_langchain(sentence: str = NEEDS_LANGCHAIN) -> None:
    """Checks that LangChain is there.

    Raises:
        UsageError: It is not; the message is the sentence.
    """
    try:
        import langchain.agents  # noqa: F401
        import langchain_openai  # noqa: F401
    except ImportError:
        raise UsageError(sentence) from None


def create_langchain_agent(
    policy: PolicyEndpoint,
    tools: Sequence[Any],
    instructions: str | None,
    *,
    max_retries: int = 0,
    client: httpx.Client | None = None,
    async_client: httpx.AsyncClient | None = None,
) -> Any:
    """Builds a LangChain agent whose failed tool calls become tool messages.

    Args:
        policy: Where the model is.
        tools: Functions with type hints and docstrings, or LangChain tools.
        instructions: The system prompt.
        max_retries: Of a model call. An episode that meets an infrastructure error is
            tried again as a whole.
        client: For sync calls; many agents can share one.
        async_client: For calls in the running event loop.

    Raises:
        UsageError: LangChain is not installed, or a tool cannot be one.
    """
    check_langchain()
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    model = ChatOpenAI(
        base_url=policy.base_url,
        api_key=SecretStr(policy.api_key),
        model=policy.model,
        max_retries=max_retries,
        timeout=MODEL_SECONDS,
        http_client=client,
        http_async_client=async_client,
    )
    return create_agent(
        model,
        tools=as_tools(tools),
        system_prompt=instructions,
        middleware=tool_errors_to_text(),
    )


_known_tools: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def as_tools(tools: Sequence[Any]) -> list[Any]:
    """LangChain's tools of the given ones, each with a name of its own."""
    from langchain_core.tools import BaseTool
    from langchain_core.tools import tool as create_tool

    def make(tool: Any) -> Any:
        known = _as_tool(tool)
        return known if isinstance(known, BaseTool | dict) else create_tool(known)

    return made_tools(tools, make)


def made_tools(tools: Any, make: Callable[[Any], Any]) -> list[Any]:
    """A framework's tools of functions, each with a name of its own.

    Args:
        tools: What the user gave.
        make: Makes a tool of a function, and leaves a tool as it is.

    Raises:
        UsageError: These are no tools, or two have one name.
    """
    if not isinstance(tools, Iterable) or isinstance(tools, str | Mapping):
        raise UsageError(f"tools={shorten(printed(tools), 60)}: give a list of tools")
    made = []
    for tool in tools:
        try:
            made.append(make(tool))
        # Frameworks fail over missing type hints in many ways.
        except (AttributeError, LookupError, NameError, TypeError, ValueError) as exc:
            name = getattr(tool, "__name__", None) or shorten(printed(tool), 60)
            raise UsageError(
                f"the tool {name} has no schema: give it type "
                f"hints and a docstring ({exc})"
            ) from exc
    names = [getattr(tool, "name", None) for tool in made]
    for name in names:
        if name is not None and names.count(name) > 1:
            raise UsageError(f"two tools are called {name!r}: give one another name")
    return made


def _as_tool(tool: Any) -> Any:
    """A LangChain tool of a method, its schema made only once for all episodes.

    Every episode has a new environment and so new bound methods, but of the same
    functions, whose schemas are most of what making an agent costs.
    """
    function = getattr(tool, "__func__", None)
    if function is None or inspect.iscoroutinefunction(function):
        return tool
    from langchain_core.tools import StructuredTool
    from langchain_core.tools import tool as create_tool

    known = _known_tools.get(function)
    if known is None:
        known = _known_tools[function] = create_tool(tool)
    return StructuredTool(
        name=known.name,
        description=known.description,
        args_schema=known.args_schema,
        func=tool,
    )


@functools.cache
def tool_errors_to_text() -> list[Any]:
    """The middleware that shows the model what a tool raised, as most agents do."""
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage

    def tool_message(request: Any, exc: Exception) -> ToolMessage:
        return ToolMessage(
            content=f"error: {exc}",
            tool_call_id=request.tool_call["id"],
            name=request.tool_call["name"],
            status="error",
        )

    class ToolErrorsToText(AgentMiddleware[Any, Any, Any]):
        """Tells the model what a tool raised, as most agents in the field do."""

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return handler(request)
            except Exception as exc:  # noqa: BLE001 - any tool error is for the model
                return tool_message(request, exc)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return await handler(request)
            except Exception as exc:  # noqa: BLE001
                return tool_message(request, exc)

    return [ToolErrorsToText()]
