"""The environment of these scenarios: a fresh warehouse for every episode."""

import pytest

from .language import INSTRUCTIONS
from .warehouse import Warehouse


@pytest.fixture
def warehouse(case):
    warehouse = Warehouse.of(case)
    yield warehouse
    warehouse.close()


@pytest.fixture
def tools(warehouse):
    return warehouse.tools


@pytest.fixture
def instructions():
    return INSTRUCTIONS
