"""The published schema is what runs really write: no field less, and none more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from agentgym.commands.main import main
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_check, made_episodes, made_row
from tests.summary_schema import check_summary

SCENARIOS = """
    import pytest
    from agentgym import given, must, scenario
    from hypothesis import strategies as st

    @scenario(episodes=6, cases=given(order=st.integers(0, 3)))
    def test_luck(agent, order):
        run = agent.run("look_up=7" if order else "raise=ValueError")
        assert run.called("look_up"), must("look first")

    @pytest.mark.xfail
    @scenario(episodes=2)
    def test_expected(agent):
        assert agent.run("hi").called("refund")

    @scenario(episodes=2)
    def test_down(agent):
        agent.run("raise=InfraError")
"""


@pytest.mark.parametrize("workers", [False, True])
def test_a_measurement(gym, workers):
    pytest.importorskip("hypothesis")
    gym.file(SCENARIOS)
    run = gym.start if workers else gym.run
    more = {"plugins": ("xdist",)} if workers else {}
    args = ["-n2"] if workers else []
    run(*args, "--agentgym-infra-retries=0", **more)
    check_summary(gym.summary())
    run(*args, "--agentgym-baseline=latest", "--agentgym-max-drop=0.1", **more)
    summary = gym.summary()
    assert summary["baseline"]["max_drop"] is not None
    check_summary(summary)


@pytest.mark.parametrize("counts", [{}, {"infra_error": 2}, {"passed": 80}])
def test_edges(counts):
    told = RunSummary(threshold=0.95, policy="embedded")
    rows = [made_row("pay", calls=2, correct=1, unjudged=1, latencies=[0.1, 0.2])]
    for episode in made_episodes(counts, tools=rows, checks=[made_check()]):
        told.add(episode)
    # The plugin adds these two.
    check_summary(told.to_json() | {"usage_errors": [], "folder": None})


def test_a_wrong_summary_is_refused():
    told = RunSummary(threshold=0.95).to_json() | {"usage_errors": [], "folder": None}
    for wrong in ({"format": 2}, {"seed": None}, {"surprise": 1}, {"episodes": {}}):
        with pytest.raises(AssertionError, match=r"\$"):
            check_summary(told | wrong)


def test_the_command_prints_it(capsys):
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["$id"] == "urn:agentgym:summary:1"


def test_a_reader_may_go_before_the_end():
    command = [
        sys.executable,
        "-c",
        "from agentgym.commands.main import main; exit(main())",
    ]
    reader, writer = os.pipe()
    os.close(reader)
    # As in `agentgym schema | head -1`.
    ended = subprocess.run(
        [*command, "schema"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (ended.stderr, ended.returncode) == ("", 141)
