"""With `-q`: one letter per episode, and at each line's end how much is done."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from agentgym.recording.blame import Outcome
from pytest_agentgym.show.live.screen import Screen

_LETTERS = {
    Outcome.passed: (".", {"green": True}),
    Outcome.failed: ("F", {"red": True}),
    Outcome.infra_error: ("i", {"yellow": True}),
    Outcome.harness_error: ("h", {"yellow": True}),
    Outcome.simulator_error: ("s", {"yellow": True}),
}


class Letters:
    """Writes the letters.

    Args:
        screen: Where to.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._done = 0

    def write(self, outcomes: Iterable[Outcome], planned: int) -> None:
        """Writes the letters of episodes that just finished; with `-qq` nothing.

        Args:
            outcomes: Of these episodes.
            planned: Episodes of the whole run.
        """
        writer = self._screen.writer
        if writer is None or self._screen.verbosity < -1:
            return
        with self._screen.uncaptured():
            for outcome, group in itertools.groupby(outcomes):
                self._write(writer, outcome, len(list(group)), planned)
            writer.flush()

    def _write(
        self, writer: pytest.TerminalReporter, outcome: Outcome, left: int, planned: int
    ) -> None:
        letter, markup = _LETTERS[outcome]
        width = writer._tw.fullwidth
        while left:
            room = width - 8 - writer._tw.width_of_current_line
            count = min(left, max(room, 1))
            writer.write(letter * count, **markup)
            left -= count
            self._done += count
            if count >= room:
                share = f"[{self._done * 100 // max(planned, 1):>3}%]"
                gap = width - 1 - writer._tw.width_of_current_line - len(share)
                writer.write(" " * max(gap, 1) + share + "\n", cyan=True)
