"""How long an episode waited for its model, and how often it was refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from agentgym.recording.trajectory import ModelCall


class Waiting(NamedTuple):
    """What an agent waited for its model, in a part of an episode.

    Attributes:
        seconds: In all; calls at the same time count once.
        calls: The model calls.
        refused: Those that the server refused.
    """

    seconds: float
    calls: int
    refused: int


def waiting(
    calls: Sequence[ModelCall],
    *,
    running: Collection[int],
    refused: Collection[int],
    since: float,
    now: float,
) -> Waiting:
    """Adds up what an agent waited for its model.

    After a refused call, what passes until the next one is waiting, too: clients and
    agents sleep before they try again.

    Args:
        calls: All model calls.
        running: Ids of those that are not answered yet.
        refused: Ids of those that ended in a failure of the infrastructure.
        since: Seconds from the attempt's begin to that of the part that is asked about.
        now: Seconds from the attempt's begin to its end.
    """
    begins = sorted(call.start for call in calls)
    seconds, end = 0.0, since
    for start, stop in sorted(_spans(calls, running, refused, begins, now)):
        if stop > end:
            seconds += stop - max(start, end)
            end = stop
    return Waiting(
        seconds=seconds,
        calls=len(calls),
        refused=sum(id(call) in refused for call in calls),
    )


def _spans(
    calls: Sequence[ModelCall],
    running: Collection[int],
    refused: Collection[int],
    begins: Sequence[float],
    now: float,
) -> Iterator[tuple[float, float]]:
    for call in calls:
        stop = now if id(call) in running else call.start + call.duration
        if id(call) in refused:
            stop = min((b for b in begins if b >= stop), default=now)
        yield call.start, stop
