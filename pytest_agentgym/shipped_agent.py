"""The agent of users who bring only tools: LangChain on the policy endpoint."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError

if TYPE_CHECKING:
    from agentgym.policy.endpoint import PolicyEndpoint


def create_langchain_agent(
    policy: PolicyEndpoint, tools: Sequence[Any], instructions: str
) -> Any:
    """Builds a LangChain agent whose failed tool calls become tool messages."""
    try:
        from langchain.agents import create_agent
        from langchain_openai import ChatOpenAI
    except ImportError:
        raise UsageError(
            "the shipped agent needs LangChain: pip install 'agentgym[langchain]'"
        ) from None
    client, async_client = _http_clients()
    model = ChatOpenAI(
        base_url=policy.base_url,
        api_key=policy.api_key,
        model=policy.model,
        max_retries=0,
        timeout=60,
        http_client=client,
        http_async_client=async_client,
    )
    return create_agent(
        model, tools=list(tools), system_prompt=instructions, middleware=_middleware()
    )


@functools.cache
def _http_clients() -> tuple[Any, Any]:
    # A new client per episode would load the TLS certificates each time.
    import httpx

    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    return httpx.Client(limits=limits), httpx.AsyncClient(limits=limits)


@functools.cache
def _middleware() -> list[Any]:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage

    class ToolErrorsToText(AgentMiddleware[Any, Any, Any]):
        """Tells the model what a tool raised, as most agents in the field do."""

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return handler(request)
            except Exception as exc:  # noqa: BLE001 - any tool error is for the model
                return _tool_message(request, exc)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return await handler(request)
            except Exception as exc:  # noqa: BLE001
                return _tool_message(request, exc)

    def _tool_message(request: Any, exc: Exception) -> ToolMessage:
        return ToolMessage(
            content=f"error: {exc}",
            tool_call_id=request.tool_call["id"],
            name=request.tool_call["name"],
            status="error",
        )

    return [ToolErrorsToText()]
