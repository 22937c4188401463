"""The end of a run before its last episode: who decides it, and who obeys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from agentgym.reliability import RunStop, Verdict
from agentgym.runs.summary import RunSummary

LEFT_OUT = pytest.StashKey[bool]()
"""On an item: the run ended before it was played as planned."""


class EarlyEnd:
    """Every process of a run: whether further episodes are started.

    Args:
        folder: Temporary folder that the processes of the run share.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "enough"
        self._why: str | None = None

    def begin(self, why: str) -> None:
        """Has all processes start no further episode; those in flight are played.

        Raises:
            OSError: The others cannot learn of it; this process knows all the same.
        """
        self._why = why
        self._file.write_text(why, encoding="utf-8")

    @property
    def begun(self) -> bool:
        """Whether no further episode is to be started."""
        return self._why is not None or self._file.exists()

    def skip(self, item: pytest.Item, *, played: int, planned: int) -> NoReturn:
        """Skips a scenario of which too little was played to judge it.

        Args:
            item: The scenario.
            played: Its episodes before the run ended.
            planned: Those that it was to have.
        """
        why = self._why or ""
        if not why:
            with suppress(OSError):
                why = self._file.read_text(encoding="utf-8")
        item.stash[LEFT_OUT] = True
        pytest.skip(f"{played} of {planned} episodes were played: {why}")


class RunEnd:
    """Main process: ends a run at its limit, or once its verdict is certain.

    Args:
        summary: What the run has come to so far; the reason is noted there.
        early: What the other processes look at.
        distributed: Whether there are such processes, when it ends.
        sequential: Whether a verdict that is certain ends the run.
    """

    def __init__(
        self,
        summary: RunSummary,
        early: EarlyEnd,
        distributed: Callable[[], bool],
        *,
        sequential: bool,
    ) -> None:
        self._summary = summary
        self._early = early
        self._distributed = distributed
        self._stop = RunStop(summary.threshold) if sequential else None
        self._limit: str | None = None

    def at_limit(self, why: str) -> None:
        """A limit of the run is reached."""
        if self._summary.settled is not None:
            return
        self._limit = why
        self._begin(why)

    def scenario_ended(self, report: Any) -> None:
        """Ends the run if, after this scenario, no other one can save it."""
        if self._stop is None:
            return
        name, about = report.nodeid, report.agentgym
        if about["left_out"] and self._summary.settled is not None:
            self._summary.not_played[name] = about["planned"]
        if report.when != "teardown" or about["place"] is None:
            return
        played = [s for s in self._summary.gated if s.name == name]
        counts = (played[0].passed, played[0].counted) if played else None
        self._stop.ended(about["place"], about["scenarios"], counts)
        if (
            self._stop.enough
            and self._limit is None
            and self._summary.settled is None
            # Whether it can be judged at all comes first.
            and self._summary.judgeable
        ):
            self._summary.settled = self._stop.decision
            self._begin(
                f"whatever this one does, the run is {Verdict.unreliable.value}"
            )

    def _begin(self, why: str) -> None:
        try:
            self._early.begin(why)
        except OSError as exc:
            # Workers that do not know would go on, and spend what they must not.
            if self._distributed():
                pytest.exit(
                    f"{why}: pytest-xdist's workers cannot learn of it, because "
                    f"{exc.filename} cannot be written: {exc.strerror}"
                )

    def conclude(self, done: int, planned: int) -> None:
        """Notes a limit in the summary, when no more episodes come.

        Args:
            done: Episodes that finished.
            planned: Episodes that were to be played.
        """
        if self._limit is None or self._summary.interrupted is not None:
            return
        if done < planned:
            self._summary.stopped = self._limit
            self._summary.interrupted = (done, planned)
        else:
            # The run is whole, and judged as any other.
            self._summary.warnings.append(f"{self._limit}, by the last episodes")
