"""The environment of these scenarios: a fresh help desk for every episode."""

import pytest

from .helpdesk import Helpdesk
from .language import INSTRUCTIONS


@pytest.fixture
def helpdesk(case):
    return Helpdesk.of(case)


@pytest.fixture
def tools(helpdesk):
    return helpdesk.tools


@pytest.fixture
def instructions():
    return INSTRUCTIONS
