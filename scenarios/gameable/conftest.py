"""The environment of these scenarios: a fresh shop for every episode."""

import pytest

from .shop import INSTRUCTIONS, Shop


@pytest.fixture
def shop(case):
    return Shop.of(case)


@pytest.fixture
def tools(shop):
    return shop.tools


@pytest.fixture
def instructions():
    return INSTRUCTIONS
