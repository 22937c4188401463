"""What the whole process is set to while agents run in it."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator

import pytest


def prepare_process(config: pytest.Config) -> None:
    """Sets what agents' libraries need, so that their manners fail no run."""
    # CrewAI's telemetry holds up the end of a process until its server answers.
    os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
    # Few agents close their clients. Under `-W error` the garbage collector's complaint
    # at the end would fail a run whose gate is met.
    unclosed = "ignore:unclosed:ResourceWarning"
    config.addinivalue_line("filterwarnings", unclosed)
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Spares the garbage collector what was there before the first episode.

    It would look through all of it every few hundred episodes: a quarter of the time
    that they take, and more where a framework was imported.
    """
    gc.freeze()
    try:
        return (yield)
    finally:
        gc.unfreeze()
