"""What the policy cannot do yet: that is drawn more often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

_MEMORY = 0.9
"""How much of the share of wrong dialogues the next one of the scenario leaves."""
_LEAST = 0.2
"""How often a scenario is drawn that is always right, where 1 is always wrong."""


class Difficulty:
    """How often dialogues of each scenario are wrong, as they come.

    Nothing is known of a scenario that was not seen yet: it counts as always wrong.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, dict[str, float]] = defaultdict(dict)

    def note(self, pack: str, scenario: str, *, right: bool) -> None:
        """Takes one dialogue into account.

        Args:
            pack: The scenario's.
            scenario: Its name.
            right: Whether the policy did in it as the oracle does.
        """
        before = self._wrong[pack].get(scenario, 1.0)
        now = 0.0 if right else 1.0
        self._wrong[pack][scenario] = _MEMORY * before + (1 - _MEMORY) * now

    def shares(self, pack: str) -> dict[str, float]:
        """How often each scenario of a pack is to be drawn, from 0 to 1.

        Args:
            pack: The pack; scenarios that are left out were not seen yet, and have 1.
        """
        known = self._wrong.get(pack, {})
        return {name: _LEAST + (1 - _LEAST) * x for name, x in known.items()}

    def of_pack(self, pack: str) -> float:
        """The mean of its scenarios' shares.

        Args:
            pack: The pack.
        """
        shares = self.shares(pack)
        return sum(shares.values()) / len(shares) if shares else 1.0

    def state(self) -> dict[str, dict[str, float]]:
        """What `restore` takes."""
        return {pack: dict(known) for pack, known in self._wrong.items()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Goes on from an earlier state.

        Args:
            state: What `state` gave.
        """
        for pack, known in state.items():
            self._wrong[pack].update(known)
