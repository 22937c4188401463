"""Measures the agents of warehouse.py: its factories take the model, so give it."""

import warnings

import pytest

# Where warnings are errors, as in this repository, CrewAI could not be imported.
warnings.filterwarnings("ignore", "Cannot set an attribute", ImportWarning)

from crewai import LLM  # noqa: E402
from warehouse import Warehouse, make_clerk  # noqa: E402

ITEMS = {
    "train": ["bolts", "hinges", "brackets", "washers", "screws", "nails"],
    "held_out": ["rivets", "dowels", "clamps", "pegs"],
}


@pytest.fixture
def items(case):
    """Two items: of the first there is plenty, and too little of the second."""
    return case.rng.sample(ITEMS[case.split], 2)


@pytest.fixture
def warehouse(case, items):
    plenty, little = items
    rng = case.rng
    return Warehouse({plenty: rng.randint(50, 99), little: rng.randint(1, 9)})


@pytest.fixture
def llm(policy):
    return LLM(
        model=f"openai/{policy.model}", base_url=policy.base_url, api_key=policy.api_key
    )


@pytest.fixture
def agent(warehouse, llm):
    return make_clerk(warehouse, llm)
