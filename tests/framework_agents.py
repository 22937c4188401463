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


def make_langchain(endpoint: Any, streaming: bool = False) -> Any:
    from langchain.agents import create_agent

    model = langchain_model(endpoint, streaming)
    return create_agent(model, list(TOOLS), system_prompt=INSTRUCTIONS)


def langchain_model(endpoint: Any, streaming: bool = False, **settings: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        model=endpoint.model,
        max_retries=0,
        streaming=streaming,
        **settings,
    )


def make_crewai(endpoint: Any, streaming: bool = False, **settings: Any) -> Any:
    from crewai import LLM, Agent
    from crewai.tools import tool

    llm = LLM(
        model=f"openai/{endpoint.model}",
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        stream=streaming,
        **settings,
    )
    return Agent(
        role="Help desk",
        goal="Help customers",
        backstory=INSTRUCTIONS,
        tools=[tool(look_up), tool(refund)],
        llm=llm,
        verbose=False,
    )


def make_autogen(endpoint: Any, streaming: bool = False) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent(
        "help_desk",
        model_client=autogen_client(endpoint),
        tools=list(TOOLS),
        system_message=INSTRUCTIONS,
        max_tool_iterations=30,
        model_client_stream=streaming,
    )


def autogen_client(endpoint: Any, **settings: Any) -> Any:
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    return OpenAIChatCompletionClient(
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
        **settings,
    )


def make_openai_agents(endpoint: Any) -> Any:
    from agents import Agent, OpenAIChatCompletionsModel, function_tool

    return Agent(
        name="Help desk",
        instructions=INSTRUCTIONS,
        model=OpenAIChatCompletionsModel(endpoint.model, openai_client(endpoint)),
        tools=[function_tool(look_up), function_tool(refund)],
    )


def openai_client(endpoint: Any) -> Any:
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
    )


def make_pydantic_ai(endpoint: Any, streaming: bool = False) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import ProcessEventStream

    return Agent(
        pydantic_ai_model(endpoint),
        instructions=INSTRUCTIONS,
        tools=TOOLS,
        capabilities=[ProcessEventStream(read_events)] if streaming else [],
    )


def pydantic_ai_model(endpoint: Any, **settings: Any) -> Any:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=openai_client(endpoint))
    return OpenAIChatModel(endpoint.model, provider=provider, settings=settings or None)


async def read_events(context: Any, events: Any) -> None:
    async for _ in events:
        pass


def make_ag2(endpoint: Any, streaming: bool = False) -> Any:
    from ag2 import Agent

    config = ag2_config(endpoint, streaming)
    return Agent("help_desk", INSTRUCTIONS, config=config, tools=TOOLS)


def ag2_config(endpoint: Any, streaming: bool = False, **settings: Any) -> Any:
    from ag2.config import OpenAIConfig

    return OpenAIConfig(
        endpoint.model,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        max_retries=0,
        streaming=streaming,
        **settings,
    )


def make_agent_framework(endpoint: Any) -> Any:
    from agent_framework import Agent

    return Agent(
        agent_framework_client(endpoint),
        INSTRUCTIONS,
        name="help_desk",
        tools=list(TOOLS),
    )


def agent_framework_client(endpoint: Any) -> Any:
    from agent_framework.openai import OpenAIChatCompletionClient

    client = openai_client(endpoint)
    return OpenAIChatCompletionClient(endpoint.model, async_client=client)


MAKERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "shipped": ("langchain_openai", make_shipped),
    "langchain": ("langchain_openai", make_langchain),
    "crewai": ("crewai", make_crewai),
    "autogen": ("autogen_ext", make_autogen),
    "openai_agents": ("agents", make_openai_agents),
    "pydantic_ai": ("pydantic_ai", make_pydantic_ai),
    "ag2": ("ag2", make_ag2),
    "agent_framework": ("agent_framework_openai", make_agent_framework),
}
"""By framework: a module that it needs, and what makes an agent on an endpoint."""


STREAMING: dict[str, Callable[..., Any]] = {
    "langchain": make_langchain,
    "crewai": make_crewai,
    "autogen": make_autogen,
    "pydantic_ai": make_pydantic_ai,
    "ag2": make_ag2,
}
"""What makes an agent that reads answers as streams, if told to.

With the OpenAI Agents SDK and Agent Framework the caller chooses, not the agent.
"""


def nested_langchain(endpoint: Any) -> Any:
    from langchain.agents import create_agent

    model = langchain_model(endpoint)
    inner = create_agent(model, [look_up], name="orders")

    def ask_orders(question: str) -> str:
        """Asks who knows about orders."""
        message = {"role": "user", "content": question}
        answer = inner.invoke({"messages": [message]})
        return str(answer["messages"][-1].content)

    return create_agent(model, [ask_orders], system_prompt=INSTRUCTIONS)


def nested_autogen(endpoint: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.tools import AgentTool

    client = autogen_client(endpoint)
    inner = AssistantAgent(
        "orders",
        model_client=client,
        tools=[look_up],
        description="Knows about orders.",
        max_tool_iterations=5,
    )
    return AssistantAgent(
        "help_desk",
        model_client=client,
        tools=[AgentTool(inner, return_value_as_last_message=True)],
        system_message=INSTRUCTIONS,
        max_tool_iterations=5,
    )


def nested_openai_agents(endpoint: Any) -> Any:
    from agents import Agent, OpenAIChatCompletionsModel, function_tool

    model = OpenAIChatCompletionsModel(endpoint.model, openai_client(endpoint))
    inner = Agent(name="orders", model=model, tools=[function_tool(look_up)])
    ask_orders = inner.as_tool("ask_orders", "Asks who knows about orders.")
    return Agent(
        name="Help desk", instructions=INSTRUCTIONS, model=model, tools=[ask_orders]
    )


def nested_pydantic_ai(endpoint: Any) -> Any:
    from pydantic_ai import Agent

    model = pydantic_ai_model(endpoint)
    inner = Agent(model, name="orders", tools=[look_up])

    async def ask_orders(question: str) -> str:
        """Asks who knows about orders."""
        return (await inner.run(question)).output

    return Agent(model, instructions=INSTRUCTIONS, tools=[ask_orders])


def nested_ag2(endpoint: Any) -> Any:
    from ag2 import Agent

    config = ag2_config(endpoint)
    inner = Agent("orders", config=config, tools=[look_up])
    ask_orders = inner.as_tool(description="Asks who knows about orders.")
    return Agent("help_desk", INSTRUCTIONS, config=config, tools=[ask_orders])


def nested_agent_framework(endpoint: Any) -> Any:
    from agent_framework import Agent

    client = agent_framework_client(endpoint)
    inner = Agent(client, name="orders", description="Orders", tools=[look_up])
    return Agent(client, INSTRUCTIONS, name="help_desk", tools=[inner.as_tool()])


NESTED: dict[str, Callable[[Any], Any]] = {
    "langchain": nested_langchain,
    "autogen": nested_autogen,
    "openai_agents": nested_openai_agents,
    "pydantic_ai": nested_pydantic_ai,
    "ag2": nested_ag2,
    "agent_framework": nested_agent_framework,
}
"""An agent with one tool: the agent "orders", whose tool is `look_up`."""


def make(
    framework: str, endpoint: Any, maker: Callable[[Any], Any] | None = None
) -> Any:
    os.environ.update(
        CREWAI_DISABLE_TELEMETRY="true",
        CREWAI_TRACING_ENABLED="false",
        OTEL_SDK_DISABLED="true",
    )
    return (maker or MAKERS[framework][1])(endpoint)


def is_there(framework: str) -> bool:
    return importlib.util.find_spec(MAKERS[framework][0]) is not None
