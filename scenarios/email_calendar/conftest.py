"""The environment of these scenarios: a fresh office for every episode."""

import pytest

from .language import INSTRUCTIONS
from .office import Office


@pytest.fixture
def office(case):
    return Office.of(case)


@pytest.fixture
def mailbox(office):
    return office.mailbox


@pytest.fixture
def diary(office):
    return office.diary


@pytest.fixture
def tools(office):
    return office.tools


@pytest.fixture
def instructions():
    return INSTRUCTIONS
