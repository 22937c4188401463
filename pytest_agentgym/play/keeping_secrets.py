"""Masks secrets in what a process reports; see `agentgym.playing.secrets`."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from agentgym.playing.secrets import Secrets
from pytest_agentgym.collect.collection import ScenarioItem

_SECRETS = pytest.StashKey[Secrets | None]()


def secrets_of(config: pytest.Config) -> Secrets | None:
    """What masks secrets in this process; None with `--agentgym-keep-secrets`."""
    if _SECRETS not in config.stash:
        # Before anything is played: its set-up may fail.
        kept = config.getoption("agentgym_keep_secrets")
        config.stash[_SECRETS] = None if kept else Secrets(os.environ)
    return config.stash[_SECRETS]


def look_for_secrets(items: Sequence[ScenarioItem]) -> None:
    """Asks hooks for patterns, and reads the environment again.

    The modules of scenarios may have added to it.

    Args:
        items: What is about to be played.

    Raises:
        UsageError: A hook's pattern is no regular expression.
    """
    config = items[0].config
    if secrets_of(config) is None:
        return
    patterns: dict[str, None] = {}
    for item in items:
        for found in item.ihook.pytest_agentgym_secret_patterns():
            patterns |= dict.fromkeys(found or ())
    config.stash[_SECRETS] = Secrets(os.environ, patterns)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Masks them where a scenario's set-up or tear-down failed outside of episodes."""
    report = yield
    secrets = secrets_of(item.config) if isinstance(item, ScenarioItem) else None
    if secrets is not None:
        text = report.longreprtext
        masked = secrets.text(text)
        if masked != text:
            report.longrepr = masked
        about = getattr(report, "agentgym", {})
        for name in ("error", "usage_error"):
            if about.get(name):
                about[name] = secrets.text(about[name])
        report.sections = [(name, secrets.text(said)) for name, said in report.sections]
    return report
