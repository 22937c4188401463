"""A librarian on LangChain whose tools come from an MCP server."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from langchain.agents import create_agent
from langchain.chat_models import BaseChatModel
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

SERVER = Path(__file__).with_name("server.py")


def server_of(books: str) -> StdioServerParameters:
    """How to start the library with these books."""
    return StdioServerParameters(command=sys.executable, args=[str(SERVER), books])


def make_librarian(
    model: BaseChatModel, tools: Sequence[BaseTool]
) -> CompiledStateGraph:
    return create_agent(
        model,
        tools,
        system_prompt=(
            "You are a librarian. Count the copies before you lend one; reserve a book "
            "that is not there. Bill nobody."
        ),
    )


async def main() -> None:
    server = stdio_client(server_of('{"Emma": 1}'))
    async with server as pipes, ClientSession(*pipes) as session:
        await session.initialize()
        librarian = make_librarian(
            ChatOpenAI(model="gpt-4.1-mini"), await load_mcp_tools(session)
        )
        question = {"messages": [("user", "I am Eva. Lend me Emma, please.")]}
        answer = await librarian.ainvoke(question)
        print(answer["messages"][-1].content)


if __name__ == "__main__":
    asyncio.run(main())
