"""What is played as one episode, and how much it may use up."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentgym.scenarios.cases import Case
from agentgym.scenarios.checks import CheckSpec


class _Ids:
    """Unique ids: random digits of this process, and a number.

    The system is asked for random digits once: each time the thread would let others
    run, which costs more than the rest of an episode's beginning.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another process: its ids begin with other digits."""
        self._process = secrets.token_hex(12)
        self._numbers = itertools.count()

    def new(self) -> str:
        """The next one."""
        return f"{self._process}{next(self._numbers):08x}"


_IDS = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDS.begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSpec:
    """What is played.

    Attributes:
        scenario: Node id of the scenario.
        index: Number of the episode within the scenario, from 0.
        case: What the scenario is played on.
        checks: The checks that the scenario's source has.
        policy: The model behind the agent, where it is known.
        asks_policy: Says of a played episode whether it asked for that model at all;
            a fixture may ask in the middle of it. By default all do.
        id: Unique; a training gives Agent Lightning's rollout id.
    """

    scenario: str
    index: int
    case: Case
    checks: Sequence[CheckSpec] = ()
    policy: str | None = None
    asks_policy: Callable[[], bool] | None = None
    id: str = field(default_factory=_IDS.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one episode may use up.

    Attributes:
        timeout: Seconds for each of an attempt's set-up, body and tear-down; None for
            no limit.
        max_tool_calls: Tool calls; the next one is the agent's failure.
        infra_retries: New attempts after an infrastructure error.
        state_check: Whether an agent that keeps its state between episodes is refused.
    """

    timeout: float | None = 300.0
    max_tool_calls: int | None = 50
    infra_retries: int = 2
    state_check: bool = True
