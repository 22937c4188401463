"""Stops a run that has taken as many tokens, or as much money, as it may."""

from __future__ import annotations

from collections.abc import Callable

from agentgym.playing.episode import Episode
from agentgym.report.cost import unknown_price, unpriced_models
from agentgym.runs.lines import dollars
from agentgym.runs.spending import Spending
from pytest_agentgym.play.limits.cost_options import CostOptions

_SILENT_AGENT = (
    "the agent's model calls do not report their tokens (with streaming, ask for "
    "usage: stream_options={'include_usage': True})"
)
_SILENT_JUDGES = "the server of the judge or the simulated user does not report tokens"


class Budget:
    """Main process: compares what all processes have spent with the limits.

    Args:
        limits: The options.
        spent: What the run has taken so far; others add to it.
        stop: Starts no further episode, and says why.
        refuse: Reports a mistake of the user.
    """

    def __init__(
        self,
        limits: CostOptions,
        spent: Callable[[], Spending],
        stop: Callable[[str], None],
        refuse: Callable[[str], None],
    ) -> None:
        self._limits = limits
        self._spent = spent
        self._stop = stop
        self._refuse = refuse
        self._over = False

    def pytest_agentgym_episode_finished(self, episode: Episode) -> None:
        """Stops the run once a limit is reached, or cannot be watched."""
        if self._over:
            return
        spent = self._spent()
        blind = self._blind(spent)
        if blind is not None:
            self._over = True
            self._refuse(blind)
            self._stop("a limit that cannot be watched")
            return
        reached = self._reached(spent)
        if reached is not None:
            self._over = True
            self._stop(reached)

    def _reached(self, spent: Spending) -> str | None:
        usd, tokens = self._limits.max_usd, self._limits.max_tokens
        if usd is not None and spent.all_usd >= usd:
            return f"{dollars(spent.all_usd)} of --agentgym-max-cost {usd:g} are spent"
        if tokens is not None and spent.all_tokens >= tokens:
            return f"{spent.all_tokens:,} of --agentgym-max-tokens {tokens} are used"
        return None

    def _blind(self, spent: Spending) -> str | None:
        """Why a limit would never be reached, whatever is spent."""
        option = "cost" if self._limits.max_usd is not None else "tokens"
        for usage, why in ((spent, _SILENT_AGENT), (spent.judges, _SILENT_JUDGES)):
            if 2 * usage.silent > usage.calls > usage.local:
                return f"--agentgym-max-{option} cannot be kept: {why}"
        models = unpriced_models(spent)
        if self._limits.max_usd is not None and models:
            return f"--agentgym-max-cost cannot be kept: {unknown_price(models)}"
        return None
