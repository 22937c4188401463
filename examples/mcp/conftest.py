"""Measures the librarian of librarian.py: each episode has an MCP server of its own."""

import json

import pytest
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI
from librarian import make_librarian, server_of
from mcp import ClientSession
from mcp.client.stdio import stdio_client

TITLES = {
    "train": ["Emma", "Dune", "Ulysses", "Persuasion", "Middlemarch", "Dracula"],
    "held_out": ["Frankenstein", "Hamlet", "Walden"],
}
READERS = {"train": ["Eva", "Tom", "Mia", "Jan"], "held_out": ["Ada", "Leo"]}


class Library:
    """The scenario's own look at the server."""

    def __init__(self, session):
        self.session = session

    async def state(self):
        answer = await self.session.read_resource("library://state")
        return json.loads(answer.contents[0].text)


@pytest.fixture
def reader(case):
    return case.rng.choice(READERS[case.split])


@pytest.fixture
def titles(case):
    """Two books: the first is on the shelf, of the second there is no copy."""
    return case.rng.sample(TITLES[case.split], 2)


@pytest.fixture
async def library(titles, case):
    there, away = titles
    books = json.dumps({there: case.rng.randint(1, 5), away: 0})
    async with (
        stdio_client(server_of(books)) as pipes,
        ClientSession(*pipes) as session,
    ):
        await session.initialize()
        yield Library(session)


@pytest.fixture
async def agent(policy, library):
    model = ChatOpenAI(
        base_url=policy.base_url, api_key=policy.api_key, model=policy.model
    )
    return make_librarian(model, await load_mcp_tools(library.session))
