"""What the whole process is set to while agents run in it."""

from __future__ import annotations

import os
import warnings

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
