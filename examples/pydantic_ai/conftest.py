"""Measures the agent of smart_home.py by the override Pydantic AI has for tests."""

import os

import pytest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

# The module makes its OpenAI client when it is imported. It is never asked.
os.environ.setdefault("OPENAI_API_KEY", "unused")

from smart_home import Home, home_agent

ROOMS = {
    "train": ["kitchen", "bedroom", "bathroom", "hall", "office"],
    "held_out": ["nursery", "library", "attic"],
}


@pytest.fixture
def home(case):
    """Three rooms, dark and between 15 and 19 degrees warm."""
    rng = case.rng
    rooms = rng.sample(ROOMS[case.split], 3)
    return Home({room: rng.randint(15, 19) for room in rooms})


@pytest.fixture
def room(home):
    """The one that the user talks about."""
    return next(iter(home.measured))


@pytest.fixture
def agent(policy, home):
    provider = OpenAIProvider(base_url=policy.base_url, api_key=policy.api_key)
    model = OpenAIChatModel(policy.model, provider=provider)
    with home_agent.override(model=model, deps=home):
        yield home_agent
