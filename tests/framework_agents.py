"""One agent per framework, written as the framework's own documentation does."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

INSTRUCTIONS = "You are a help desk. Use the tools."


def look_up(order_id: str) -> str:
    """Shows an order."""
    return f"{order_id} is paid"


def refund(order_id: str, amount: float) -> str:
    """Pays an order back."""
    if amount < 0:
        raise ValueError("too little")
    return f"{order_id} refunded"


TOOLS = (look_up, refund)


def make_shipped(endpoint: Any) -> Any:
    from agentgym.integrations.shipped import create_langchain_agent

    return create_langchain_agent(endpoint, TOOLS, INSTRUCTIONS)


def make_crewai(endpoint: Any) -> Any:
    from crewai import LLM, Agent
    from crewai.tools import tool

    llm = LLM(
        model=f"openai/{endpoint.model}",
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
    )
    return Agent(
        role="Help desk",
        goal="Help customers",
        backstory=INSTRUCTIONS,
        tools=[tool(look_up), tool(refund)],
        llm=llm,
        verbose=False,
    )


def make_autogen(endpoint: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    client = OpenAIChatCompletionClient(
        model=endpoint.model,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "family": "unknown",
        },
    )
    return AssistantAgent(
        "help_desk",
        model_client=client,
        tools=list(TOOLS),
        system_message=INSTRUCTIONS,
        max_tool_iterations=30,
    )


def make_openai_agents(endpoint: Any) -> Any:
    from agents import Agent, OpenAIChatCompletionsModel, function_tool
    from openai import AsyncOpenAI

    client = AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
    )
    return Agent(
        name="Help desk",
        instructions=INSTRUCTIONS,
        model=OpenAIChatCompletionsModel(endpoint.model, client),
        tools=[function_tool(look_up), function_tool(refund)],
    )


MAKERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "shipped": ("langchain_openai", make_shipped),
    "crewai": ("crewai", make_crewai),
    "autogen": ("autogen_ext", make_autogen),
    "openai_agents": ("agents", make_openai_agents),
}
"""By framework: a module that it needs, and what makes an agent on an endpoint."""


def make(framework: str, endpoint: Any) -> Any:
    os.environ.update(
        CREWAI_DISABLE_TELEMETRY="true",
        CREWAI_TRACING_ENABLED="false",
        OTEL_SDK_DISABLED="true",
    )
    return MAKERS[framework][1](endpoint)


def is_there(framework: str) -> bool:
    return importlib.util.find_spec(MAKERS[framework][0]) is not None
