"""The live view's numbers and lines."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from agentgym.runs.spending import Spending
from pytest_agentgym.play.episode_report import (
    EpisodeReport,
    pytest_report_from_serializable,
    pytest_report_to_serializable,
)
from pytest_agentgym.show.live import numbers as live_numbers
from pytest_agentgym.show.live.failures import Failures
from pytest_agentgym.show.live.numbers import LiveNumbers
from pytest_agentgym.show.live.panel import WholeLines
from pytest_agentgym.show.live.panel import clock as clock_text
from pytest_agentgym.show.live.views import MeasuringPanel, pace, results
from tests.made_episodes import SCENARIO, made_check, made_episode


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(live_numbers, "time", clock)
    return clock


def report(*episodes, of_scenario=4, in_flight=2, name=SCENARIO):
    made = EpisodeReport(
        lines=[],
        planned=8,
        of_scenario=of_scenario,
        in_flight=in_flight,
        nodeid=name,
        location=("", 0, ""),
        keywords={},
        outcome="passed",
        longrepr=None,
        when="episode",
        duration=0.0,
    )
    made._episodes = list(episodes)
    return made


def test_numbers(clock):
    numbers = LiveNumbers(threshold=0.95)
    assert numbers.left is None
    own = numbers.take(report(), Spending())
    assert (own.done, own.planned, own.over) == (0, 4, False)
    assert list(results(numbers)) == ["0/8 episodes", "2 in flight"]
    assert list(pace(numbers)) == []
    clock.now += 10
    episodes = [
        made_episode(0, tokens=60),
        made_episode(1, "failed", tokens=40),
        made_episode(2, "infra_error"),
    ]
    spent = Spending(input_tokens=80, output_tokens=20, usd=0.5)
    own = numbers.take(report(*episodes, in_flight=1), spent)
    assert (own.done, own.passed, own.counted, own.tokens) == (3, 1, 2, 100)
    numbers.take(report(in_flight=3, name="other"), spent)
    assert numbers.in_flight == 4
    assert list(results(numbers)) == [
        "3/8 episodes",
        "4 in flight",
        "reliability 50.0 % (1.3-98.7)",
    ]
    # Three episodes took ten seconds; five are left.
    assert list(pace(numbers)) == ["10.0 tokens/s", "$0.50", "0:17 left"]
    early = numbers.ended("other")
    assert early is not None
    assert early.over
    assert numbers.ended("other") is numbers.ended("unknown") is None
    # Its four episodes will not be played.
    assert list(pace(numbers))[-1] == "0:03 left"
    assert [s.name for s in numbers.running()] == [SCENARIO]
    assert numbers.take(report(made_episode(3)), spent).over
    assert numbers.ended(SCENARIO) is None
    assert numbers.in_flight == 0


def test_tokens_per_second_are_running(clock):
    numbers = LiveNumbers(threshold=0.95)
    for second in range(0, 100, 10):
        clock.now = 100.0 + second
        # A thousand in the first half, then nothing.
        numbers.take(report(), Spending(input_tokens=min(second, 50) * 20))
    assert numbers.token_rate == 0


def test_what_crosses_xdist():
    sent = pytest_report_to_serializable(report(of_scenario=7, in_flight=3))
    got = pytest_report_from_serializable(sent)
    assert (got.planned, got.of_scenario, got.in_flight) == (8, 7, 3)


def case(index):
    return {"index": index, "seed": 1, "split": "held_out", "value": None}


def test_failures_are_shown_once_each_and_few_of_a_kind():
    failures = Failures()
    bad = made_check("failed", text='run.called(\n  "pay")')
    episodes = [
        made_episode(i, "failed", checks=[made_check(), bad], case=case(i))
        for i in range(5)
    ]
    told = list(failures.lines([made_episode(9), *episodes]))
    start = "failed test_refund held_out-"
    assert told == [
        (f'{start}0: assert run.called( "pay")', True),
        (f'{start}1: assert run.called( "pay")', True),
        (f'{start}2: assert run.called( "pay"); more are only counted', True),
    ]
    raised = made_episode(7, "failed", error="KeyError: '\x1b[31m'", case=case(7))
    down = made_episode(8, "infra_error", error="InfraError: down", case=case(8))
    assert list(failures.lines([raised, down])) == [
        (f"{start}7: KeyError: ''", True),
        ("infra_error test_refund held_out-8: InfraError: down", False),
    ]


def test_lines_above_the_panel_are_whole():
    shown = []

    class File:
        encoding = "utf-8"

    above = WholeLines(shown.append, File())
    for text in ("test_a.py ", ".", "", "  [ 50%]\ntest", "ing ...\rdone\n\nbe", "gun"):
        assert above.write(text) == len(text)
        above.flush()
    assert shown == ["test_a.py .  [ 50%]", "done"]
    assert above.rest() == "begun"
    assert above.isatty()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")]
)
def test_clock(seconds, text):
    assert clock_text(seconds) == text


@pytest.mark.parametrize(("width", "bars"), [(40, False), (80, True)])
def test_a_narrow_panel_shows_the_numbers_whole(clock, width, bars):
    Console = pytest.importorskip("rich.console").Console
    numbers = LiveNumbers(threshold=0.95)
    numbers.take(report(made_episode(0), of_scenario=1_000), Spending())
    screen = io.StringIO()
    writer = SimpleNamespace(_tw=SimpleNamespace(_file=screen))
    console = Console(file=screen, width=width)
    console.print(MeasuringPanel(numbers, writer, screen).draw(width, 24))
    line = next(x for x in screen.getvalue().splitlines() if "1/1000" in x)
    assert ("100.0 %" in line, "\u2591" in line) == (True, bars)
