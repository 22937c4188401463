"""The live view: a panel in a real pseudo-terminal, and plain lines elsewhere."""

from __future__ import annotations

import re
import sys

import pytest

from tests.paying_agent import PAID, PAYING_AGENT

TOP, BOTTOM = "╭─ agentgym", "╰─"
SECOND = "\n    def test_plain():\n        print('of a test')\n"


@pytest.fixture
def paying(gym):
    gym.conftest(PAYING_AGENT)
    return gym


def paid(name="a", episodes=12, message="7 sleep=0.3 print=noise"):
    return PAID.format(name=name, episodes=episodes, message=message)


def terminal(gym, *args, plugins=(), **environment):
    pytest.importorskip("rich")
    pytest.importorskip("pyte")
    from tests.pty_terminal import Terminal

    arguments = gym.arguments(
        "--agentgym-price=gpt-4o=1/10",
        "--agentgym-concurrency=4",
        *args,
        plugins=plugins,
    )
    command = [sys.executable, "-m", "pytest", *arguments]
    return Terminal(command, gym.pytester.path, environment)


def panels(shown):
    """The panels that were on the screen, without their frames."""
    found = []
    for screen in shown.screens:
        tops = [i for i, line in enumerate(screen) if line.startswith(TOP)]
        assert len(tops) <= 1, "\n".join(screen)
        for top in tops:
            lines = screen[top + 1 :]
            ends = [i for i, line in enumerate(lines) if line.startswith(BOTTOM)]
            if ends:
                found.append([line.strip("│ ") for line in lines[: ends[0]]])
    return found


def check_end(shown):
    """Nothing of the panel is left, and pytest's own report is whole."""
    lines = shown.lines
    assert not [line for line in lines if "╭" in line or "│" in line or "╰" in line]
    assert not shown.cursor_hidden
    assert [line for line in lines if re.search(r"- verdict -", line)]


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_the_panel(paying, workers):
    paying.file(paid("a") + SECOND, "test_a.py")
    paying.file(paid("b", message="8 sleep=0.2"), "test_b.py")
    shown = terminal(paying, *workers, plugins=("xdist",) if workers else ())
    shown.follow()
    assert shown.code == 1
    check_end(shown)
    found = panels(shown)
    rows = "\n".join("\n".join(panel) for panel in found)
    assert re.search(r"test_a\.py::test_a +█+░+ +\d+/12 +100\.0 %", rows)
    assert re.search(r"test_b\.py::test_b +█+░+ +\d+/12 +0\.0 %", rows)
    in_flight = {int(n) for n in re.findall(r"(\d+) in flight", rows)}
    # Two workers need not play at the same time.
    assert max(in_flight) in ((4, 8) if workers else (4,))
    assert re.search(
        r"\d+/24 episodes +\d in flight +reliability [\d.]+ % \([\d.]+-[\d.]+\)\n"
        r"[\d.k]+ tokens/s +\$0\.\d+ +0:\d\d left",
        rows,
    )
    failed = [line for line in shown.lines if line.startswith("failed test_b ")]
    assert len(failed) == 3
    assert "held_out-" in failed[0]
    assert "assert agent.run('8 sleep=0.2').called(" in failed[0]
    # An ordinary test's dot, and pytest's own line, are whole as well.
    if not workers:
        lines = "\n".join(shown.lines)
        assert re.search(r"^test_a\.py \. +\[ 66%\]$", lines, re.MULTILINE)
        assert re.search(r"^test_b\.py +\[100%\]$", lines, re.MULTILINE)
    assert "noise" not in [line.strip() for line in shown.lines]


def test_verbose(paying):
    paying.file(paid("a") + SECOND, "test_a.py")
    shown = terminal(paying, "-v")
    shown.follow()
    assert shown.code == 0
    check_end(shown)
    assert panels(shown)
    own = [line for line in shown.lines if line.startswith("test_a.py::")]
    assert [line.split()[:2] for line in own] == [
        ["test_a.py::test_a", "PASSED"],
        ["test_a.py::test_plain", "PASSED"],
    ]


def test_what_episodes_print_is_not_garbled(paying):
    paying.file(paid("a", episodes=8), "test_a.py")
    shown = terminal(paying, "-s")
    shown.follow()
    assert shown.code == 0
    assert panels(shown) == []
    assert b"\x1b[?25l" not in shown.raw
    # Threads may write a line and its end in turns.
    assert shown.raw.count(b"noise") == 8
    told = [line for line in shown.lines if "8/8 passed" in line]
    assert told
    check_end(shown)


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_ctrl_c_leaves_the_terminal_clean(paying, workers):
    paying.file(paid("a", message="7 sleep=0.5", episodes=200))
    shown = terminal(paying, *workers, plugins=("xdist",) if workers else ())
    assert shown.follow(
        lambda screen: any(re.search(r" [1-9]\d*/200 episodes", x) for x in screen)
    )
    shown.interrupt()
    shown.follow()
    assert shown.code == 2
    check_end(shown)
    assert [line for line in shown.lines if line.startswith("INTERRUPTED: ")]
    assert not [line for line in shown.lines if "Traceback" in line]


def test_without_rich_or_in_a_dumb_terminal(paying):
    paying.file(paid("a", episodes=4), "test_a.py")
    shown = terminal(paying, TERM="dumb")
    shown.follow()
    assert shown.code == 0
    assert b"\x1b[?25l" not in shown.raw
    assert [x for x in shown.lines if x.startswith("test_a.py test_a: 4/4 passed")]
    paying.file("import sys; sys.modules['rich'] = None", "hide_rich.py")
    shown = terminal(paying, "-p", "hide_rich", PYTHONPATH=_with(paying))
    shown.follow()
    assert shown.code == 0
    assert [x for x in shown.lines if x.startswith("test_a.py test_a: 4/4 passed")]


def _with(gym):
    import os

    return os.pathsep.join([str(gym.pytester.path), os.environ.get("PYTHONPATH", "")])


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_plain_lines(paying, workers):
    paying.file(paid("a", message="7") + SECOND, "test_a.py")
    paying.file(paid("b", message="8"), "test_b.py")
    paying.file(paid("c", message="7 down=1"), "test_c.py")
    result = paying.start(
        *workers,
        "--agentgym-infra-retries=0",
        plugins=("xdist",) if workers else (),
    )
    lines = result.stdout.lines
    joined = "\n".join(lines)
    begin = r"^test_a.py::test_a" if workers else r"^test_a.py test_a"
    assert re.search(begin + r": 12/12 passed, 1100 tok/ep +", joined, re.MULTILINE)
    assert re.search(r"^test_b.py::test_b: 0/12 passed, 1100 tok", joined, re.MULTILINE)
    assert re.search(
        r"^test_c.py::test_c: 0/0 passed, 12 do not count", joined, re.MULTILINE
    )
    failed = [x for x in lines if x.startswith("failed test_b held_out-")]
    lost = [x for x in lines if x.startswith("infra_error test_c held_out-")]
    assert (len(failed), len(lost)) == (3, 3)
    assert "\x1b" not in joined


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_scenario_that_ends_early_gets_its_line(paying, workers):
    scenario = paid("a", message="8 sleep=0.01", episodes=400)
    known = "    import pytest\n    @pytest.mark.xfail\n    @scenario"
    paying.file(scenario.replace("    @scenario", known), "test_a.py")
    result = paying.start(
        *workers,
        "--agentgym-stop=sequential",
        "--agentgym-concurrency=2",
        plugins=("xdist",) if workers else (),
    )
    # A letter of pytest's would stand at the end of some other scenario's line.
    (line,) = [x for x in result.stdout.lines if " passed, 1100 tok/ep" in x]
    told = re.fullmatch(
        r"test_a.py::test_a: 0/(\d+) passed, 1100 tok/ep +\[100%\]", line
    )
    # Quick ones are told in batches of 64.
    assert told
    assert int(told[1]) < 200
    result.assert_outcomes(xfailed=1)


def test_quiet(paying):
    paying.file(paid("a", message="8", episodes=5))
    result = paying.run("-q")
    result.stdout.fnmatch_lines(["FFFFF*"])
    result.stdout.no_fnmatch_line("failed test_*")
    result.stdout.no_fnmatch_line("*tok/ep, *")
