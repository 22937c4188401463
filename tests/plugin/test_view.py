"""The runs of a project, from pytest to the page over all of them."""

from __future__ import annotations

import json

import pytest

from agentgym.commands.main import main
from tests.conftest import Gym
from tests.html_page import Page


def test_runs_that_pytest_leaves_are_listed_and_linked(
    gym: Gym, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_order(agent):
            assert agent.run("hi").reply
    """)
    monkeypatch.chdir(gym.pytester.path)
    assert gym.run().ret == 0
    assert gym.run("--agentgym-baseline=latest").ret == 0
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    shown = [(run["what"], run["state"], run["met"], run["episodes"]) for run in found]
    assert shown == [
        ("measured", "finished", True, 3),
        ("compared", "finished", True, 3),
    ]
    assert main(["view", "--no-browser"]) == 0
    folder = gym.pytester.path / ".agentgym"
    report = Page(folder / "index.html").report
    assert report["scenarios"] == ["test_it.py::test_order"]
    for run in report["runs"]:
        assert Page(folder / run["page"]).report["summary"]["run"] == run["id"]
