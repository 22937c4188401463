"""The groups of `pytest --help`, which `docs/reference/options.md` has, too."""

from __future__ import annotations

from typing import NamedTuple

import pytest


class OptionGroups(NamedTuple):
    """The groups, in their order.

    An option's help is one line of a terminal of 80 columns: what more there is to say
    about it is in the documentation.
    """

    measuring: pytest.OptionGroup
    episodes: pytest.OptionGroup
    gate: pytest.OptionGroup
    policy: pytest.OptionGroup
    judges: pytest.OptionGroup
    cost: pytest.OptionGroup
    reports: pytest.OptionGroup
    training: pytest.OptionGroup


def add_groups(parser: pytest.Parser) -> OptionGroups:
    """Adds the groups, all of them empty."""
    return OptionGroups(
        measuring=parser.getgroup("agentgym: measuring"),
        episodes=parser.getgroup("agentgym: playing episodes"),
        gate=parser.getgroup("agentgym: what passes"),
        policy=parser.getgroup("agentgym: the policy"),
        judges=parser.getgroup("agentgym: judges and simulated users"),
        cost=parser.getgroup("agentgym: cost"),
        reports=parser.getgroup("agentgym: reports"),
        training=parser.getgroup("agentgym: training"),
    )
