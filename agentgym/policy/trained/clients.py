"""A policy's endpoint as an agent of a framework, or as a client."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentgym.distribution import install_command
from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import UsageError
from agentgym.integrations.shipped import (
    MODEL_SECONDS,
    as_tools,
    made_tools,
    tool_errors_to_text,
)

if TYPE_CHECKING:
    import httpx
    import openai

# What each needs that its distribution may have been installed without, and the hint.
_NEEDED = {
    "LangChain": (("langchain", "langchain_openai"), install_command("langchain")),
    "CrewAI": (("crewai",), install_command("crewai")),
    "AutoGen": (
        ("autogen_agentchat", "autogen_ext", "openai", "tiktoken"),
        install_command("autogen"),
    ),
    "OpenAI's client": (("openai",), "pip install openai"),
}


def check_framework(method: str, framework: str) -> None:
    """Checks that a framework is there, without importing it.

    Args:
        method: What needs it, for the message.
        framework: Its name.

    Raises:
        UsageError: It is not; the message says how to install it.
    """
    packages, install = _NEEDED[framework]
    if any(importlib.util.find_spec(name) is None for name in packages):
        raise UsageError(f"{method}() needs {framework}: {install}")


@dataclass(frozen=True)
class OpenAIEndpoint(PolicyEndpoint):
    """Where the model is, with clients that are ready to use."""

    _transport: Any = field(default=None, kw_only=True, repr=False, compare=False)

    @functools.cached_property
    def client(self) -> openai.OpenAI:
        """For sync code."""
        import openai

        return openai.OpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            http_client=self.http_client(),
        )

    @functools.cached_property
    def async_client(self) -> openai.AsyncOpenAI:
        """For async code."""
        import openai

        return openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            http_client=self.async_http_client(),
        )

    def http_client(self) -> httpx.Client | None:
        """What a client of another library needs where there is no port."""
        import httpx

        transport = self._transport
        return None if transport is None else httpx.Client(transport=transport)

    def async_http_client(self) -> httpx.AsyncClient | None:
        """The same for async code."""
        import httpx

        transport = self._transport
        return None if transport is None else httpx.AsyncClient(transport=transport)


# What is wrong with the tools is said before a model is loaded for them.
def langchain_agent(
    find_policy: Callable[[], OpenAIEndpoint],
    tools: Sequence[Any],
    instructions: str | None,
    middleware: Sequence[Any],
    settings: dict[str, Any],
) -> Any:
    """A compiled LangChain agent; what a tool raises becomes a tool message.

    Args:
        find_policy: Starts the model; called when the tools are known to be sound.
        tools: Functions with type hints and docstrings, or LangChain tools.
        instructions: The system prompt.
        middleware: Comes after the one that tells the model what a tool raised.
        settings: For LangChain's `create_agent`.
    """
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    made = as_tools(tools)
    policy = find_policy()
    model = ChatOpenAI(
        base_url=policy.base_url,
        api_key=SecretStr(policy.api_key),
        model=policy.model,
        timeout=MODEL_SECONDS,
        http_client=policy.http_client(),
        http_async_client=policy.async_http_client(),
    )
    return create_agent(
        model,
        tools=made,
        system_prompt=instructions,
        # The user's own handlers of errors come first: they are nearer to the tool.
        middleware=[*tool_errors_to_text(), *middleware],
        **settings,
    )


def crewai_agent(
    find_policy: Callable[[], PolicyEndpoint],
    tools: Sequence[Any],
    settings: dict[str, Any],
) -> Any:
    """A CrewAI agent.

    Args:
        find_policy: Starts the model; called when the tools are known to be sound.
        tools: Functions with type hints and docstrings, or CrewAI tools.
        settings: For CrewAI's `Agent`.
    """
    from crewai import LLM, Agent
    from crewai.tools import BaseTool

    made = made_tools(
        tools, lambda tool: tool if isinstance(tool, BaseTool) else _crewai_tool(tool)
    )
    policy = find_policy()
    llm = LLM(
        # The prefix has CrewAI speak to it as to OpenAI's own API.
        model=f"openai/{policy.model}",
        base_url=policy.base_url,
        api_key=policy.api_key,
    )
    return Agent(llm=llm, tools=made, **settings)


def _crewai_tool(function: Callable[..., Any]) -> Any:
    from crewai.tools import tool

    @functools.wraps(function)
    def typed(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    # CrewAI reads no annotations that `from __future__` has made texts.
    typed.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return tool(typed)


def autogen_agent(
    find_policy: Callable[[], PolicyEndpoint],
    tools: Sequence[Any],
    settings: dict[str, Any],
) -> Any:
    """An AutoGen assistant.

    Args:
        find_policy: Starts the model; called when the tools are known to be sound.
        tools: Functions with type hints and docstrings, or AutoGen tools.
        settings: For AutoGen's `AssistantAgent`; has its `name`.

    Raises:
        UsageError: Its name is none that AutoGen takes.
    """
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core.models import ModelFamily, ModelInfo
    from autogen_core.tools import BaseTool, FunctionTool
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    def make(tool: Any) -> Any:
        if isinstance(tool, BaseTool):
            return tool
        return FunctionTool(tool, description=tool.__doc__ or "")

    name = settings["name"]
    if not str(name).isidentifier():
        raise UsageError(
            f"to_autogen(name={name!r}): AutoGen wants a name such as {'help_desk'!r}"
        )
    made = made_tools(tools, make)
    policy = find_policy()
    client = OpenAIChatCompletionClient(
        model=policy.model,
        base_url=policy.base_url,
        api_key=policy.api_key,
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            structured_output=True,
            family=ModelFamily.UNKNOWN,
            # A memory adds one to the conversation.
            multiple_system_messages=True,
        ),
    )
    return AssistantAgent(model_client=client, tools=made, **settings)
