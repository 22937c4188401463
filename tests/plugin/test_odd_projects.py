"""Unusual projects and plugins: played, or a sentence says why not."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

CANNOT_JUDGE, USAGE = 6, 4

SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_it(agent):
        assert agent.run("look_up=7").called("look_up")
"""

AWAITED = """
    from agentgym import scenario

    {mark}
    @scenario(episodes=2)
    async def test_awaited(agent):
        assert (await agent.run("look_up=7")).called("look_up")
"""


def played(gym):
    """Of the newest run: episodes by the scenario's name, and that all passed."""
    scenarios = gym.summary()["scenarios"]
    assert all(s["passed"] == s["episodes"] for s in scenarios)
    return {s["name"].partition("::")[2]: s["episodes"] for s in scenarios}


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbffrom agentgym import scenario\n{}",
        b"\xef\xbb\xbf# -*- coding: utf-8 -*-\r\nfrom agentgym import scenario\r\n{}",
        b"# coding: latin-1\nword = '\xe9'\nfrom agentgym import scenario\n{}",
        b"import os; from agentgym import scenario\n{}",
        b"from agentgym \\\n    import scenario\n{}",
        b"from \\\n    agentgym import scenario\n{}",
        b"if True: from agentgym import scenario\n{}",
    ],
    ids=["mark", "mark-and-crlf", "latin-1", "semicolon", "break", "break-2", "colon"],
)
def test_however_a_file_is_written(gym, source):
    body = textwrap.dedent(SCENARIO).partition("scenario\n")[2].encode()
    (gym.pytester.path / "test_it.py").write_bytes(source.replace(b"{}", body))
    assert gym.run().ret == 0
    assert played(gym) == {"test_it": 2}


@pytest.mark.parametrize(
    "name",
    [
        *("assertion", "cacheprovider", "capture", "debugging", "junitxml"),
        *("logging", "setuponly", "skipping", "terminal", "unraisableexception"),
        *("warnings", "tmpdir", "recwarn"),
    ],
)
def test_without_a_plugin_of_pytest(gym, name):
    gym.file(SCENARIO)
    result = gym.run("-p", f"no:{name}")
    assert result.ret == 0, result.stdout.str()
    assert played(gym) == {"test_it": 2}


@pytest.mark.parametrize("name", ["assertion", "capture", "debugging"])
def test_a_failure_without_a_plugin_of_pytest(gym, name):
    gym.file(SCENARIO.replace("look_up=7", "hi"))
    result = gym.run("-p", f"no:{name}")
    assert result.ret == 1
    (check,) = gym.summary()["scenarios"][0]["checks"]
    assert check["failed"] == 2
    assert check["message"]


@pytest.mark.parametrize("args", [["--pyargs", "shopchecks"], ["{path}"]])
@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_scenarios_of_an_installed_package(gym, monkeypatch, mode, args):
    """Those that are named, and none else that is installed beside them."""
    folder = gym.pytester.path / "lib" / "site-packages"
    package = folder / "shopchecks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    rubric = "from agentgym import rubric\n@rubric\ndef looked(run): assert run.reply"
    (package / "words.py").write_text(rubric)
    source = "from shopchecks.words import looked\n" + textwrap.dedent(SCENARIO)
    for line in ("looked(agent.run('hi'))",):
        source += f"    {line}\n"
    (package / "test_installed.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    result = gym.run(
        f"--import-mode={mode}", *(arg.format(path=package) for arg in args)
    )
    assert result.ret == 0, result.stdout.str()
    assert played(gym) == {"test_it": 2}
    assert len(gym.summary()["scenarios"][0]["checks"]) == 2


IN_A_TEST_CASE = """
    import unittest
    from agentgym import scenario

    class Base:
        @scenario(episodes=3)
        def test_open(self):
            assert 1 + 1 == 2

    class TestShop({bases}):
        def test_ordinary(self):
            pass

        {scenario}
"""
METHOD = "@scenario(episodes=3)\n        {} test_open(self): assert 1"


@pytest.mark.parametrize(
    ("bases", "scenario"),
    [
        ("unittest.TestCase", METHOD.format("def")),
        ("unittest.IsolatedAsyncioTestCase", METHOD.format("async def")),
        ("Base, unittest.TestCase", ""),
    ],
    ids=["own", "async", "inherited"],
)
class TestMethodsOfATestCase:
    def test_are_refused(self, gym, bases, scenario):
        gym.file(IN_A_TEST_CASE.format(bases=bases, scenario=scenario))
        result = gym.run()
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(
            ["*test_it.py::TestShop.test_open is not played: *unittest.TestCase*"]
        )

    def test_are_not_run_in_an_ordinary_run(self, gym, bases, scenario):
        gym.file(IN_A_TEST_CASE.format(bases=bases, scenario=scenario))
        result = gym.run(agentgym=False)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["agentgym: * not run; add --agentgym *"])


NO_SOCKETS = """
    import socket

    class Refused(socket.socket):
        def __new__(cls, *args, **kwargs):
            raise RuntimeError("a test tried to use a socket")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(item):
        socket.socket = Refused
"""


@pytest.mark.parametrize("args", [[], ["--pdb"]])
def test_an_async_scenario_where_no_event_loop_can_be_made(gym, args):
    gym.more_conftest(NO_SOCKETS)
    gym.file(AWAITED.format(mark=""))
    result = gym.start(*args)
    if not args:
        assert result.ret == CANNOT_JUDGE
        (reason,) = gym.summary()["decision"]["reasons"]
        assert reason["kind"] == "errored"
    assert "Traceback" not in result.stderr.str()
    text = " ".join(result.stdout.str().split())
    assert "an event loop cannot be made: RuntimeError: a test tried to use a" in text


def test_an_async_agent_where_no_event_loop_can_be_made(gym):
    gym.more_conftest(
        NO_SOCKETS
        + """
    @pytest.fixture
    def agent():
        async def ask(message):
            return "hi"
        return agentgym.wrap(ask)
    """
    )
    gym.file(SCENARIO)
    assert gym.start().ret == CANNOT_JUDGE
    assert {e["outcome"] for e in gym.episodes()} == {"harness_error"}


@pytest.mark.parametrize(
    ("ini", "mark"),
    [("anyio_mode = auto", ""), ("", "@pytest.mark.anyio"), ("", "")],
    ids=["auto", "mark", "module"],
)
def test_a_scenario_under_anyio_is_played_once_in_full(gym, ini, mark):
    pytest.importorskip("anyio")
    gym.pytester.makeini(f"[pytest]\n{ini}\n")
    module = "" if ini or mark else "    pytestmark = pytest.mark.anyio\n"
    gym.file(
        "    import pytest\n"
        + module
        + AWAITED.format(mark=mark)
        + """
    from agentgym import Scenario

    class Parcel(Scenario):
        episodes = 2

        async def play(self, agent):
            assert (await agent.run("look_up=7")).called("look_up")
    """
    )
    assert gym.run(plugins=("anyio",)).ret == 0
    names = {name.partition("[")[0] for name in played(gym)}
    assert names == {"test_awaited", "Parcel::play"}
    assert list(played(gym).values()) == [2, 2]


@pytest.mark.parametrize("ini", [True, False])
def test_a_models_folder_is_no_test_path(gym, ini, tmp_path):
    """pytest chooses its root before it knows what belongs to our options."""
    model, root = tmp_path / "model", os.path.commonpath([tmp_path, gym.pytester.path])
    model.mkdir()
    gym.file(
        """
        from agentgym import scenario

        @scenario(episodes=1)
        def test_it(case):
            assert case.seed
        """
    )
    if ini:
        gym.pytester.makeini("[pytest]")
    result = gym.start("--agentgym-policy", str(model))
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [
            f"ERROR: pytest takes {model} for a test path, and {root} for the "
            f"project's folder: write --agentgym-policy={model}"
        ]
    )
    assert not (Path(root) / ".agentgym").exists()
    assert gym.start(f"--agentgym-policy={model}").ret == 0
    # Its own ini file is found by the tests that are named.
    with_tests = gym.start("--agentgym-policy", str(model), str(gym.pytester.path))
    assert with_tests.ret == (0 if ini else 4)
