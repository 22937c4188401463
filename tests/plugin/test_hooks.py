"""The plugin's own hooks, and how little it costs to have it installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_order(agent):
        assert agent.run("look_up=7").called("look_up", order="7")
"""


def test_agent_made_sees_and_replaces_the_agent(gym):
    gym.more_conftest("""
        def pytest_agentgym_agent_made(item, agent):
            assert item.name == "test_order"
            assert agent.wrapped is obey
            return lambda message: obey("look_up=7")
    """)
    gym.file(SCENARIO.replace("look_up=7", "hi"))
    gym.run().assert_outcomes(passed=1)


def test_agent_made_may_leave_it_as_it_is(gym):
    gym.more_conftest("""
        def pytest_agentgym_agent_made(agent):
            return None
    """)
    gym.file(SCENARIO)
    gym.run().assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_episode_hooks_are_called_once_per_episode(gym, workers):
    gym.more_conftest("""
        import os

        def note(text):
            with open(os.environ["NOTES"], "a") as file:
                file.write(f"{text}\\n")

        def pytest_agentgym_episode_started(item, index, case):
            note(f"started {item.name} {index} {case.split}")

        def pytest_agentgym_reward_computed(item, episode):
            note(f"reward {episode.index} {episode.reward}")
            episode.reward = 0.5

        def pytest_agentgym_episode_finished(episode):
            worker = "PYTEST_XDIST_WORKER" in os.environ
            note(f"finished {episode.index} {episode.outcome} {worker}")
    """)
    gym.file(SCENARIO)
    notes = gym.pytester.path / "notes"
    gym.pytester._monkeypatch.setenv("NOTES", str(notes))
    run = gym.start if workers else gym.run
    run(*workers, plugins=("xdist",) if workers else ()).assert_outcomes(passed=1)
    assert sorted(notes.read_text().splitlines()) == [
        "finished 0 passed False",
        "finished 1 passed False",
        "reward 0 1.0",
        "reward 1 1.0",
        "started test_order 0 held_out",
        "started test_order 1 held_out",
    ]
    assert gym.summary()["mean_reward"] == 0.5


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_report_brought_is_let_go(gym, workers):
    """Or a long run holds all of its conversations, as pytest keeps its reports."""
    gym.more_conftest("""
        import gc, json, pathlib

        kept, brought = [], []

        def pytest_runtest_logreport(report):
            if report.when == "episode":
                kept.append(report)
                brought.extend(report.episodes)

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"):
                return
            found = [len(brought), sum(len(r.lines) + len(r.episodes) for r in kept)]
            found.append(gc.get_freeze_count())
            pathlib.Path("found.json").write_text(json.dumps(found))
    """)
    gym.file("""
        import gc
        from agentgym import scenario

        @scenario(episodes=40)
        def test_it(agent):
            agent.run("hello")
            assert gc.get_freeze_count() > 0
    """)
    options = ("-n", str(workers)) if workers else ()
    result = gym.start(*options, plugins=("xdist",) if workers else ())
    assert result.ret == 0
    assert json.loads((gym.pytester.path / "found.json").read_text()) == [40, 0, 0]


def test_report_section_comes_before_the_verdict(gym):
    gym.more_conftest("""
        def pytest_agentgym_report_section(summary):
            return [f"cost: {summary.passed} cents"]
    """)
    gym.file(SCENARIO)
    result = gym.run()
    result.stdout.fnmatch_lines(["cost: 2 cents", "*- verdict -*"])


def test_a_report_section_may_be_empty(gym):
    gym.more_conftest("""
        def pytest_agentgym_report_section(summary):
            return None
    """)
    gym.file(SCENARIO)
    assert gym.run().ret == 0


@pytest.mark.parametrize("hook", ["episode_started", "reward_computed"])
def test_a_hook_that_raises_ends_the_run_with_its_error(gym, hook):
    gym.more_conftest(f"""
        def pytest_agentgym_{hook}(item):
            raise RuntimeError("the hook broke")
    """)
    gym.file(SCENARIO)
    result = gym.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*RuntimeError: the hook broke*"])


REFUSED = """
    class Refused(Exception):
        pass

    def answer(message):
        raise Refused("no seat")

    @pytest.fixture
    def agent():
        return answer

    def pytest_agentgym_classify_error(exception):
        if isinstance(exception, Refused):
            return {said}
"""


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ('"infra_error"', "infra_error"),
        ('"failed"', "failed"),
        ('"harness_error"', "harness_error"),
        ("None", "failed"),
    ],
)
def test_a_hook_says_whose_fault_an_error_is(gym, said, outcome):
    gym.more_conftest(REFUSED.format(said=said))
    gym.file(SCENARIO)
    gym.run("--agentgym-infra-retries", "0")
    assert [episode["outcome"] for episode in gym.episodes()] == [outcome] * 2


def test_a_hook_is_asked_about_causes_too(gym):
    gym.more_conftest(
        REFUSED.format(said='"infra_error"').replace(
            'raise Refused("no seat")',
            """try:
            raise Refused("no seat")
        except Refused:
            raise RuntimeError("we are closed")""",
        )
    )
    gym.file(SCENARIO)
    gym.run("--agentgym-infra-retries", "0")
    assert [episode["outcome"] for episode in gym.episodes()] == ["infra_error"] * 2


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('"passed"', "*classify_error returned 'passed': return failed, infra_error,*"),
        ("1 / 0", "*ZeroDivisionError: division by zero*"),
    ],
)
def test_a_hook_that_says_nothing_known_ends_the_run(gym, said, sentence):
    gym.more_conftest(REFUSED.format(said=said))
    gym.file(SCENARIO)
    result = gym.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines([sentence])


def test_without_the_plugin_its_hooks_are_unknown(gym):
    gym.conftest("def pytest_agentgym_episode_finished(episode): ...")
    gym.file("def test_ordinary(): ...")
    assert gym.pytester.runpytest_subprocess("-p", "no:agentgym").ret == 3


def test_importing_the_plugin_imports_no_heavy_package():
    heavy = "torch, transformers, pydantic, rich, httpx, langchain_core, hypothesis"
    code = f"""
import sys, pytest
import pytest_agentgym.plugin, agentgym
names = "{heavy}".split(", ")
assert not set(names) & set(sys.modules), set(names) & set(sys.modules)
assert not [n for n in sys.modules if n.startswith("agentgym.")]
own = [n.partition(".")[2] for n in sys.modules if n.startswith("pytest_agentgym.")]
assert {{n for n in own if "option" not in n}} == {{
    "collect", "play", "play.limits", "show", "training", "plugin"
}}, own
for name in agentgym.__all__:
    if name != "TrainingConfig":  # its checks are pydantic's
        getattr(agentgym, name)
assert not set(names) & set(sys.modules), set(names) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_whole_run_imports_no_heavy_package(gym):
    gym.file(SCENARIO)
    gym.more_conftest("""
        import sys

        def pytest_agentgym_report_section(summary):
            heavy = ("torch", "transformers", "pydantic", "rich", "httpx")
            return [f"heavy: {[name for name in heavy if name in sys.modules]}"]
    """)
    gym.start().stdout.fnmatch_lines(["heavy: [[]]"])


def test_a_run_imports_nothing_for_options_that_are_not_given(gym):
    gym.file(SCENARIO)
    gym.more_conftest("""
        import sys

        @pytest.hookimpl(trylast=True)
        def pytest_terminal_summary(terminalreporter):
            parts = {part for name in sys.modules for part in name.split(".")}
            unasked = {"otel", "comparison", "comparison_terminal", "side"}
            terminalreporter.write_line(f"unasked: {sorted(unasked & parts)}")
    """)
    gym.start().stdout.fnmatch_lines(["unasked: [[]]"])
    parts = "'comparison', 'comparison_terminal', 'side'"
    gym.start("--agentgym-baseline=latest").stdout.fnmatch_lines(
        [f"unasked: [[]{parts}[]]"]
    )
