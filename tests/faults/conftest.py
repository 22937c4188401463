"""What the tests of the table of faults look at."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

COLLECTED = pytest.StashKey[frozenset[str]]()
"""Node ids of all tests that were collected, also of those that are not selected."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: Iterable[pytest.Item]
) -> None:
    """Notes them before `-m` and `-k` leave some out."""
    config.stash[COLLECTED] = frozenset(item.nodeid for item in items)


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> frozenset[str]:
    """Node ids of all tests that this run of pytest has found."""
    return request.config.stash[COLLECTED]
