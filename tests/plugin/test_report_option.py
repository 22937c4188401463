"""`--agentgym-report`: the HTML report, in a run's folder and where it is wanted."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Gym
from tests.html_page import Page

SCENARIOS = """
    from agentgym import scenario

    @scenario(episodes=4, threshold=0)
    def test_order(agent, case):
        assert agent.run(f"look_up={case.index}").called("look_up", order="7")

    @scenario(episodes=3)
    def test_refund(agent):
        assert agent.run("refund=7").called("refund")
"""


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "2"]])
def test_the_report_of_a_run(gym: Gym, options: list[str]) -> None:
    gym.file(SCENARIOS)
    result = gym.start("--agentgym-report=out/report.html", *options)
    result.stdout.fnmatch_lines(
        ["stored in .agentgym/runs/*", "report: out/report.html"]
    )
    wanted = gym.pytester.path / "out" / "report.html"
    page = Page(wanted)
    assert page.report["summary"] == gym.summary()
    assert len(page.rows) == 7
    assert wanted.read_bytes() == (gym.runs[-1] / "report.html").read_bytes()


def test_a_file_that_pytest_takes_for_tests(
    gym: Gym, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = gym.file(SCENARIOS, "project/test_it.py").parent
    (gym.pytester.path / "conftest.py").rename(project / "conftest.py")
    (project / "pytest.ini").write_text("[pytest]")
    monkeypatch.chdir(project)
    path = gym.pytester.path / "elsewhere" / "out.json"
    assert gym.start("--agentgym-json", str(path)).ret == 1
    # Now that it is there, pytest would choose the folder above both for its root.
    result = gym.start("--agentgym-json", str(path))
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*: write --agentgym-json={path}"])
    root = f"--rootdir={project}"
    for options in (
        [f"--agentgym-json={path}"],
        ["--agentgym-json", path, "."],
        ["--agentgym-json", path, root],
    ):
        assert gym.start(*map(str, options)).ret == 1


def test_every_run_leaves_one(gym: Gym) -> None:
    gym.file(SCENARIOS)
    result = gym.run()
    result.stdout.fnmatch_lines(["report: .agentgym/runs/*/report.html"])
    assert len(Page(gym.runs[-1] / "report.html").rows) == 7


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "2"]])
def test_a_path_that_cannot_be_written_stops_the_run_before_it_begins(
    gym: Gym, options: list[str]
) -> None:
    gym.file(SCENARIOS)
    (gym.pytester.path / "file").write_text("")
    for path, why in (
        ("file/report.html", "File exists"),
        (".", "it is a folder: name a file in it"),
    ):
        result = gym.start(f"--agentgym-report={path}", *options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        whole = os.path.normpath(gym.pytester.path / path)
        sentence = f"ERROR: --agentgym-report: {whole} cannot be written: {why}"
        assert sentence in result.stderr.str().splitlines()
    assert not (gym.pytester.path / ".agentgym").exists()


def test_a_path_that_is_lost_during_the_run_costs_the_file_only(gym: Gym) -> None:
    gym.more_conftest("""
        import pathlib

        def pytest_sessionfinish():
            pathlib.Path("out.html").mkdir()
    """)
    gym.file(SCENARIOS)
    result = gym.run("--agentgym-report=out.html", "-k", "refund")
    assert result.ret == 0
    said = " ".join(result.stdout.str().split())
    assert "out.html cannot be written: Is a directory" in said
    assert (gym.runs[-1] / "report.html").exists()


def test_a_run_whose_folder_cannot_be_written_still_has_one(gym: Gym) -> None:
    gym.file(SCENARIOS)
    (gym.pytester.path / ".agentgym").write_text("")
    gym.run("--agentgym-report=report.html")
    page = Page(gym.pytester.path / "report.html")
    assert page.report["summary"]["reliability"]["value"] == 3 / 7
    assert page.rows == []
    assert "nothing is stored in " in page.report["summary"]["warnings"][0]


def test_without_a_scenario_the_report_says_so(gym: Gym) -> None:
    """An earlier run's report does not stay in its place."""
    path = gym.pytester.path / "report.html"
    path.write_text("of an earlier run")
    gym.file("def test_ordinary(): ...\n")
    gym.run("--agentgym-report=report.html", "--collect-only")
    assert path.read_text() == "of an earlier run"
    gym.run("--agentgym-report=report.html")
    decision = Page(path).report["summary"]["decision"]
    assert decision["sentence"] == "no gate: no scenario was played"
