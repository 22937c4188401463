"""Listed and drawn cases, and Ctrl-C."""

from __future__ import annotations

import os
import time

import pytest

from tests.process_group import signal_when, start_group


def test_listed_cases_are_played_in_turn(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=5, cases=["7", "8", "9"])
        def test_order(agent, case):
            assert agent.run(f"look_up={case.value}").called("look_up", order="7")
    """)
    gym.run()
    values = [e["case"]["value"] for e in gym.episodes()]
    assert values == ["'7'", "'8'", "'9'", "'7'", "'8'"]
    assert gym.summary()["scenarios"][0]["passed"] == 2
    gym.run("--agentgym-split=train")
    assert {e["case"]["value"] for e in gym.episodes()} == {"'8'", "'9'"}


def test_drawn_cases_are_arguments_of_the_scenario(gym):
    pytest.importorskip("hypothesis")
    gym.file("""
        from hypothesis import strategies as st
        from agentgym import given, scenario

        @scenario(episodes=6, cases=given(order=st.integers(0, 10_000)))
        def test_order(agent, order, case):
            assert case.value == {"order": order}
            assert agent.run(f"look_up={order}").called("look_up", order=str(order))
    """)
    values = []
    for _ in range(2):
        gym.run().assert_outcomes(passed=1)
        values.append([e["case"]["value"] for e in gym.episodes()])
    assert values[0] == values[1]
    assert len(set(values[0])) > 3


def test_a_scenario_of_the_other_split_is_skipped(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(split="train", episodes=1)
        def test_order(agent):
            assert agent.run("hi").reply
    """)
    gym.run("--agentgym-split=held-out").assert_outcomes(skipped=1)
    gym.run("--agentgym-split=train").assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize("prefix", ["", "async "])
def test_ctrl_c_stops_and_reports_what_finished(gym, workers, prefix):
    if workers and prefix:
        pytest.skip("the two have nothing to do with each other")
    sleep = "import asyncio; await asyncio.sleep(60)"
    gym.file(f"""
        import pathlib
        from agentgym import scenario

        @scenario(episodes=6)
        {prefix}def test_order(agent, case):
            if case.index >= 2:
                {sleep if prefix else "import time; time.sleep(60)"}
            run = {"await " if prefix else ""}agent.run("look_up=7")
            assert run.called("look_up")
    """)
    plugins = ("xdist",) if workers else ()
    arguments = gym.arguments(*workers, plugins=plugins)
    process = start_group(["-m", "pytest", *arguments], gym.pytester.path)
    # An episode is written just before it is counted.
    signal_when(process, lambda: bool(gym.runs) and len(gym.episodes()) == 2, pause=0.5)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=30)
    stopped = time.monotonic() - begun
    assert process.returncode == 2, output
    assert "2/2" in output
    assert "INTERRUPTED: 2 of 6 episodes were played" in output
    assert "gate met" not in output
    assert gym.summary()["interrupted"]
    # Whoever sees the numbers may choose when to press the keys.
    assert gym.summary()["reliability"]["verdict"] is None
    assert gym.summary()["exit_code"] == 2
    assert "Interrupted" in output or "KeyboardInterrupt" in output
    assert "Traceback" not in output
    assert gym.summary()["episodes"]["passed"] == 2
    assert stopped < 2 * slowness(), output


def slowness() -> float:
    """How much longer than on an idle machine things take here, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
