"""Looks after rollouts that nobody finishes any more."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from agentgym.training.hub.gateway import Gateway

LOOK_SECONDS = 5.0
"""How often it looks."""


@dataclass(slots=True)
class Lookout:
    """Fails the rollouts of runners that died, and those that take too long.

    Attributes:
        gateway: Where rollouts are.
        timeout: Seconds after which one is given up.
        orphans: Rollouts whose runner died.
    """

    gateway: Gateway
    timeout: float
    orphans: set[str] = field(default_factory=set)
    _runners_lost: set[str] = field(default_factory=set)
    _next_look: float = 0.0
    _running_since: dict[str, float] = field(default_factory=dict)

    def runner_lost(self, prefix: str) -> None:
        """A runner died: how its name begins. Called from another thread."""
        self._runners_lost.add(prefix)
        self._next_look = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._next_look

    def look(self) -> None:
        """Looks."""
        self._next_look = time.monotonic() + LOOK_SECONDS
        # A runner that died is remembered: its last claim may be heard of after it.
        lost, silent = tuple(self._runners_lost), self.gateway.silent()
        running, now = self.gateway.running(), time.monotonic()
        before, known = self._running_since, (each.rollout_id for each in running)
        # The gateway's own times are the wall clock's, which may be set.
        self._running_since = {name: before.get(name, now) for name in known}
        for rollout in running:
            died = rollout.runner.startswith(lost) or rollout.runner in silent
            if died or now - self._running_since[rollout.rollout_id] > self.timeout:
                reason = "died" if died else "did not finish in time"
                message = f"infra_error: its runner {rollout.runner} {reason}"
                self.gateway.fail(rollout.rollout_id, message)
            if died:
                self.orphans.add(rollout.rollout_id)
