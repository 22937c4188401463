"""How long an episode waited for its model."""

from __future__ import annotations

import pytest

from agentgym.recording.trajectory import ModelCall
from agentgym.recording.waiting import waiting


def call(start: float, end: float) -> ModelCall:
    return ModelCall(start=start, duration=end - start)


def seconds(
    *spans: tuple[float, float],
    running: tuple[int, ...] = (),
    refused: tuple[int, ...] = (),
    since: float = 0.0,
) -> float:
    """What was waited at 10 s; `running` and `refused` are places in `spans`."""
    calls = [call(*span) for span in spans]
    return waiting(
        calls,
        running={id(calls[i]) for i in running},
        refused={id(calls[i]) for i in refused},
        since=since,
        now=10.0,
    ).seconds


def test_calls_one_after_another_add_up() -> None:
    assert seconds((0, 1), (2, 4)) == 3
    assert seconds() == 0


def test_calls_at_the_same_time_count_once() -> None:
    assert seconds((0, 4), (1, 2), (3, 5)) == 5


def test_a_call_without_an_answer_lasts_until_now() -> None:
    assert seconds((0, 1), (4, 4), running=(1,)) == 7


@pytest.mark.parametrize(
    ("spans", "refused", "waited"),
    [
        # Until the next call, which is answered.
        ([(0, 1), (3, 4)], (0,), 4),
        # Until now, as nothing was asked again.
        ([(0, 1), (3, 4)], (1,), 8),
        # Each time anew.
        ([(0, 1), (2, 3), (4, 5)], (0, 1), 5),
        # The call beside it is no new one.
        ([(0, 5), (0, 1), (6, 7)], (1,), 7),
    ],
)
def test_what_passes_after_a_refusal_is_waiting(spans, refused, waited) -> None:
    assert seconds(*spans, refused=refused) == waited


def test_only_what_is_in_the_part_counts() -> None:
    assert seconds((0, 4), (5, 6), since=3) == 2
    assert seconds((0, 1), (8, 9), refused=(0,), since=7) == 2
