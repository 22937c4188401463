"""The environment of these scenarios: a fresh repository for every episode."""

import pytest

from .language import INSTRUCTIONS
from .repository import Repository


@pytest.fixture
def repository(case):
    made = Repository.of(case)
    yield made
    made.checkout.close()


@pytest.fixture
def tools(repository):
    return repository.tools


@pytest.fixture
def instructions():
    return INSTRUCTIONS
