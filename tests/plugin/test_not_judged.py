"""What fails outside of any episode, or is never played, is no gate that is met."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import Gym
from tests.summary_schema import check_summary

CANNOT_JUDGE, USAGE = 6, 4

PLAIN = """
    import pytest
    from agentgym import scenario

    @scenario(episodes=2)
    def test_plain(agent):
        assert agent.run("look_up=7").called("look_up")

"""

WITHOUT_A_CELLAR = """
    @pytest.fixture(scope="session")
    def cellar():
        raise ConnectionError("the cellar is locked")

    {mark}
    @scenario(episodes=2)
    def test_cellar(agent, cellar):
        assert agent.run("look_up=7").called("look_up")
"""


def reasons(gym: Gym) -> list[tuple[Any, ...]]:
    """Of the newest run: kind, scenario and sentence of each."""
    summary = gym.summary()
    check_summary(summary)
    assert summary["exit_code"] == summary["decision"]["exit_code"]
    return [
        (reason["kind"], reason["scenario"], reason["sentence"])
        for reason in summary["decision"]["reasons"]
    ]


@pytest.mark.parametrize("workers", [False, True])
def test_a_scenario_that_cannot_be_set_up(gym, workers):
    gym.file(PLAIN + WITHOUT_A_CELLAR.format(mark=""))
    result = gym.start("-n2", plugins=("xdist",)) if workers else gym.run()
    assert result.ret == CANNOT_JUDGE
    result.assert_outcomes(passed=1, errors=1)
    sentence = "CANNOT JUDGE: 1 scenario errored outside of the episodes"
    result.stdout.fnmatch_lines(
        [
            sentence,
            "  test_it.py::test_cellar: set-up failed: ConnectionError: the cellar is*",
            "of what was played, UNDECIDED: 2 of 2 passed, *",
        ]
    )
    result.stdout.no_fnmatch_line("*gate met*")
    why = "set-up failed: ConnectionError: the cellar is locked"
    assert reasons(gym) == [("errored", "test_it.py::test_cellar", why)]
    assert gym.summary()["decision"]["sentence"] == sentence


def test_nothing_but_a_scenario_that_cannot_be_set_up(gym):
    gym.file("import pytest\nfrom agentgym import scenario\n")
    gym.file(PLAIN.partition("@scenario")[0] + WITHOUT_A_CELLAR.format(mark=""))
    result = gym.run()
    assert result.ret == CANNOT_JUDGE
    result.stdout.fnmatch_lines(
        ["agentgym: no scenario was run", "CANNOT JUDGE: 1 scenario errored outside*"]
    )
    why = "set-up failed: ConnectionError: the cellar is locked"
    assert reasons(gym) == [("errored", "test_it.py::test_cellar", why)]


@pytest.mark.parametrize("mark", ["xfail", "skip(reason='not now')"])
def test_a_scenario_that_is_left_out_on_purpose_is_no_error(gym, mark):
    mark = f"@pytest.mark.{mark}"
    gym.file(PLAIN + WITHOUT_A_CELLAR.format(mark=mark))
    result = gym.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["gate met: the run reached 95 %"])
    assert reasons(gym) == []


def test_a_scenario_that_skips_itself_is_no_error(gym):
    gym.file(
        PLAIN
        + """
    @scenario(episodes=2)
    def test_skipped(agent):
        pytest.skip("no such account")

    @pytest.fixture(scope="module")
    def account():
        pytest.skip("no account at all")

    @scenario(episodes=2)
    def test_account(agent, account):
        assert agent.run("hi").reply
    """
    )
    assert gym.run().ret == 0
    assert reasons(gym) == []


def test_a_fixture_that_cannot_be_torn_down(gym):
    gym.file(
        PLAIN
        + """
    @pytest.fixture(scope="module")
    def attic():
        yield
        raise OSError("the attic does not close")

    @scenario(episodes=2)
    def test_attic(agent, attic):
        assert agent.run("look_up=7").called("look_up")
    """
    )
    assert gym.run().ret == CANNOT_JUDGE
    why = "tear-down failed: OSError: the attic does not close"
    assert reasons(gym) == [("errored", "test_it.py::test_attic", why)]


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
@pytest.mark.parametrize("part", ["set-up", "tear-down"])
def test_a_fixture_of_whichever_scope(gym, scope, part):
    raised = "yield" if part == "tear-down" else "pass"
    gym.file(
        PLAIN
        + f"""
    def broken():
        {raised}
        raise OSError("it does not work")

    first = pytest.fixture(scope="{scope}", name="first")(broken)
    second = pytest.fixture(scope="{scope}", name="second")(broken)

    @scenario(episodes=2)
    def test_attic(agent, first, second):
        assert agent.run("look_up=7").called("look_up")
    """
    )
    assert gym.run().ret == CANNOT_JUDGE
    why = f"{part} failed: OSError: it does not work"
    assert reasons(gym) == [("errored", "test_it.py::test_attic", why)]


def test_a_scenario_that_another_plugin_ends(gym):
    gym.more_conftest("""
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            if "sluggish" in item.name:
                pytest.fail("Timeout >1.5s\\nStack of MainThread")
            return (yield)
    """)
    gym.file(PLAIN + PLAIN.replace("plain", "sluggish"))
    assert gym.run().ret == CANNOT_JUDGE
    why = "ended early: Failed: Timeout >1.5s"
    assert reasons(gym) == [("errored", "test_it.py::test_sluggish", why)]


def test_a_scenario_whose_worker_dies(gym):
    gym.file(
        PLAIN
        + """
    @scenario(episodes=2)
    def test_dead(agent):
        import os
        os._exit(3)
    """
    )
    result = gym.start("-n1", plugins=("xdist",))
    assert result.ret == CANNOT_JUDGE
    [(kind, name, why)] = reasons(gym)
    assert (kind, name) == ("errored", "test_it.py::test_dead")
    assert why.startswith("ended early: worker 'gw0' crashed while running")


def test_a_scenario_that_is_written_wrongly(gym):
    gym.file(
        PLAIN
        + """
    @scenario(episodes=2)
    def test_shop(agent, shop):
        assert agent.run("hi").reply
    """
    )
    result = gym.run()
    assert result.ret == USAGE
    result.stdout.no_fnmatch_line("*gate met*")
    [(kind, name, why)] = reasons(gym)
    assert (kind, name) == ("usage", "test_it.py::test_shop")
    # Neither the name nor the mistake is said twice.
    assert why.startswith("there is no fixture 'shop'")
    assert gym.summary()["exit_code"] == USAGE
    result.stdout.fnmatch_lines(
        ["CANNOT JUDGE: 1 scenario cannot be played as written"]
    )
    shown = result.stdout.str().partition("short test summary")[0]
    assert shown.partition(" verdict ")[2].count("there is no fixture") == 1


def test_a_mistake_that_does_not_name_its_scenario_is_shown_once(gym):
    gym.file(
        PLAIN
        + """
    from agentgym import UsageError

    @scenario(episodes=1)
    def test_shop(agent):
        raise UsageError("what a scenario")
    """
    )
    result = gym.run()
    assert result.ret == USAGE
    assert reasons(gym) == [("usage", "test_it.py::test_shop", "what a scenario")]
    shown = result.stdout.str().partition("short test summary")[0]
    assert shown.partition(" verdict ")[2].count("what a scenario") == 1


def test_what_a_debugger_shows_is_an_episodes_failure(gym):
    gym.file(PLAIN.replace("look_up=7", "hi"))
    result = gym.start("--pdb")
    assert result.ret == 2
    [(kind, name, _)] = reasons(gym)
    assert (kind, name) == ("interrupted", None)


def test_what_is_below_comes_first(gym):
    bad = PLAIN.replace("plain", "bad").replace("look_up=7", "hi")
    gym.file(bad + WITHOUT_A_CELLAR.format(mark=""))
    result = gym.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["gate not met: the run is below 95 % and 1 scenario errored outside of the*"]
    )
    assert [kind for kind, _, _ in reasons(gym)] == ["below", "errored"]


@pytest.mark.parametrize("workers", [False, True])
def test_a_file_of_scenarios_that_cannot_be_collected(gym, workers):
    gym.file(PLAIN)
    gym.file(PLAIN + "    import nothing_of_the_kind\n", "test_bad.py")
    gym.file("import nothing_of_the_kind\n", "test_ordinary.py")
    gym.file(PLAIN, "shops/test_shop.py")
    gym.file("import nothing_of_the_kind\n", "shops/conftest.py")
    args = ["--continue-on-collection-errors", "--junitxml=junit.xml"]
    result = gym.start("-n2", *args, plugins=("xdist",)) if workers else gym.run(*args)
    assert result.ret == CANNOT_JUDGE
    # Of workers, pytest-xdist reports the folder's error twice.
    result.assert_outcomes(passed=1, errors=4 if workers else 3)
    files = ["shops", "test_bad.py"]
    whys = [f"{name} cannot be collected" for name in files]
    assert sorted(reasons(gym)) == [("errored", None, why) for why in whys]
    result.stdout.fnmatch_lines(["CANNOT JUDGE: *; * cannot be collected"])
    result.stdout.no_fnmatch_line("*gate met*")
    # What was played has passed.
    assert [s["met"] for s in gym.summary()["scenarios"]] == [True]
    assert gate_in_junit(gym)["agentgym_exit_code"] == str(CANNOT_JUDGE)


def test_nothing_but_a_file_that_cannot_be_collected(gym):
    gym.file(PLAIN + "    import nothing_of_the_kind\n")
    result = gym.run("--continue-on-collection-errors")
    assert result.ret == CANNOT_JUDGE
    result.stdout.fnmatch_lines(
        [
            "agentgym: no scenario was run",
            "CANNOT JUDGE: test_it.py cannot be collected; no scenario was played",
        ]
    )
    # Without the option pytest itself ends the run, and says why.
    result = gym.run("--agentgym-json=summary.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("CANNOT JUDGE*")
    written = json.loads((gym.pytester.path / "summary.json").read_text())
    assert written["decision"]["sentence"] == (
        "INTERRUPTED: 1 error during collection; only complete runs are judged"
    )


@pytest.mark.parametrize("workers", [False, True])
def test_an_internal_error_leaves_no_gate_that_is_met(gym, workers):
    hook = "pytest_agentgym_episode_finished" if workers else "pytest_runtest_logfinish"
    gym.more_conftest(f"""
        def {hook}():
            raise OSError("the metrics server is down")
    """)
    gym.file(PLAIN)
    args = ["--junitxml=junit.xml"]
    result = gym.start("-n1", *args, plugins=("xdist",)) if workers else gym.run(*args)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    why = "an internal error ended the run; only complete runs are judged"
    assert reasons(gym) == [("interrupted", None, why)]
    assert gym.summary()["interrupted"]
    assert gate_in_junit(gym)["agentgym_gate"] == f"INTERRUPTED: {why}"


def test_a_mistake_of_the_user_comes_before_an_interruption(gym):
    gym.file(
        PLAIN
        + """
    @scenario(episodes=2)
    def test_shop(agent, shop):
        assert agent.run("hi").reply

    def test_stop():
        raise KeyboardInterrupt
    """
    )
    result = gym.start()
    assert result.ret == USAGE
    assert [kind for kind, _, _ in reasons(gym)] == ["usage", "interrupted"]
    assert gym.summary()["exit_code"] == USAGE


def test_x_leaves_scenarios_that_were_not_played(gym):
    gym.file(PLAIN, "test_a.py")
    gym.file("def test_ordinary(): assert 0\n", "test_b.py")
    gym.file(PLAIN, "test_c.py")
    assert gym.run("-x").ret == CANNOT_JUDGE
    why = "was not played: stopping after 1 failures"
    assert reasons(gym) == [("not_played", "test_c.py::test_plain", why)]
    # What is not selected is not missed.
    assert gym.run("-x", "-k", "plain").ret == 0


@pytest.mark.parametrize("option", ["--setup-plan", "--collect-only"])
@pytest.mark.parametrize("broken", [False, True])
def test_what_plays_nothing_misses_nothing(gym, option, broken):
    gym.file(PLAIN)
    if broken:
        gym.file(PLAIN + "    import nothing_of_the_kind\n", "test_bad.py")
    result = gym.run(option, "--continue-on-collection-errors")
    assert result.ret == int(broken)
    result.stdout.no_fnmatch_line("*CANNOT JUDGE*")


def gate_in_junit(gym: Gym) -> dict[str, str]:
    """The properties of the whole suite."""
    root = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    return {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}


def test_a_scenario_that_passes_although_it_must_fail(gym):
    strict = "@pytest.mark.xfail(strict=True)\n    @scenario"
    gym.file(PLAIN + PLAIN.replace("plain", "fixed").replace("@scenario", strict))
    result = gym.run("--junitxml=junit.xml")
    assert result.ret == 1
    sentence = "gate not met: 1 scenario passed, though it was expected to fail"
    name, why = "test_it.py::test_fixed", "passed, though it was expected to fail"
    result.stdout.fnmatch_lines([sentence, f"  {name}: {why}"])
    result.stdout.no_fnmatch_line("*gate met*")
    assert reasons(gym) == [("passed_unexpectedly", name, why)]
    assert gym.summary()["exit_code"] == 1
    junit = gate_in_junit(gym)
    assert (junit["agentgym_gate"], junit["agentgym_exit_code"]) == (sentence, "1")


def test_a_scenario_that_another_plugin_fails(gym):
    gym.more_conftest("""
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item):
            report = yield
            if report.when == "call":
                report.outcome, report.longrepr = "failed", "too much was logged"
            return report
    """)
    gym.file(PLAIN)
    assert gym.run().ret == CANNOT_JUDGE
    why = "ended early: too much was logged"
    assert reasons(gym) == [("errored", "test_it.py::test_plain", why)]


@pytest.mark.parametrize("skipped", [False, True])
def test_no_scenario_was_played(gym, skipped):
    skip = "@pytest.mark.skip(reason='not now')\n    @scenario"
    more = PLAIN.replace("@scenario", skip) if skipped else ""
    gym.file(more + "\n    def test_ordinary():\n        pass\n")
    result = gym.run("--junitxml=junit.xml", "--agentgym-json=summary.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["agentgym: no scenario was run"])
    summary = json.loads(
        (gym.pytester.path / "summary.json").read_text(encoding="utf-8")
    )
    check_summary(summary)
    decision = summary["decision"]
    assert (summary["exit_code"], decision["exit_code"]) == (0, 0)
    assert (decision["met"], decision["sentence"]) == (
        None,
        "no gate: no scenario was played",
    )
    assert [reason["kind"] for reason in decision["reasons"]] == ["no_scenario"]
    assert gate_in_junit(gym)["agentgym_exit_code"] == "0"


def test_pytest_s_own_code_stays_where_nothing_is_collected(gym):
    gym.file("")
    assert gym.run().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_mistake_in_a_scenario_that_is_expected_to_fail(gym):
    gym.file(f"""
{PLAIN}

    import pytest

    @pytest.mark.xfail
    @scenario(episodes=2)
    def test_no_check(agent):
        agent.run("look_up=7")
    """)
    result = gym.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [(kind, name, sentence)] = reasons(gym)
    assert (kind, name) == ("usage", "test_it.py::test_no_check")
    assert sentence.startswith("the scenario judged no check: ")
    result.stdout.fnmatch_lines(
        ["*test_it.py::test_no_check*: the scenario judged no*"]
    )
