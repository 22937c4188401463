"""`--train`: runners claim rollouts from a real hub, play and report them."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_agentgym.training.setting_up import hold
from tests.html_page import Page
from tests.process_group import signal_when, start_group
from tests.summary_schema import check_summary

gateway = pytest.importorskip("agentgym.training.hub.gateway")
TESTS = Path(__file__).parents[1]

AGENT = '''
import json

import agentgym
import httpx
import pytest

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]


@pytest.fixture(scope="session")
def web():
    with httpx.Client(timeout=20) as client:
        yield client


@agentgym.tool
def look_up(order):
    """Finds an order."""
    return f"order {order} is paid"


def ask(policy, messages):
    return {
        "url": policy.base_url + "/chat/completions",
        "headers": {"Authorization": f"Bearer {policy.api_key}"},
        "json": {"model": policy.model, "messages": messages, "tools": TOOLS},
    }


def obey(answer, messages):
    """Does what the model's answer says; the reply, if that is what it is."""
    answer.raise_for_status()
    message = answer.json()["choices"][0]["message"]
    messages.append(message)
    for call in message.get("tool_calls") or ():
        content = look_up(**json.loads(call["function"]["arguments"]))
        messages.append(
            {"role": "tool", "tool_call_id": call["id"], "content": content}
        )
    return None if message.get("tool_calls") else message["content"]


@pytest.fixture
def agent(policy, web):
    def run(message):
        messages, reply = [{"role": "user", "content": message}], None
        while reply is None:
            reply = obey(web.post(**ask(policy, messages)), messages)
        return reply

    return agentgym.wrap(run)


@pytest.fixture
def async_agent(policy):
    async def run(message):
        messages, reply = [{"role": "user", "content": message}], None
        async with httpx.AsyncClient() as client:
            while reply is None:
                reply = obey(await client.post(**ask(policy, messages)), messages)
        return reply

    return agentgym.wrap(run)
'''

ONE = """
    from agentgym import scenario

    @scenario(episodes=4)
    def test_order(agent, case):
        run = agent.run("ok" if case.index % 2 else "hi")
        assert run.called("look_up", order="7")
"""


class TrainGym:
    """A project whose agent is trained by script."""

    def __init__(self, gym: Any) -> None:
        self.gym = gym
        self.path: Path = gym.pytester.path
        gym.conftest(AGENT)

    def script(self, **script: Any) -> None:
        (self.path / "trainer.json").write_text(json.dumps(script))

    def run(self, *args: str) -> pytest.RunResult:
        """Within this process."""
        return self.gym.run("--train", *args, plugins=("scripted_trainer",))

    def arguments(self, *args: str) -> list[str]:
        return self.gym.arguments(
            "--train", *args, plugins=("xdist", "scripted_trainer")
        )

    def start(self, *args: str) -> pytest.RunResult:
        """In a process of its own, where xdist can be used."""
        return self.gym.pytester.runpytest_subprocess(*self.arguments(*args))

    @property
    def log(self) -> dict[str, Any]:
        return json.loads((self.path / "trainer-log.json").read_text())

    def outcomes(self, phase: str) -> Counter[str]:
        return Counter(
            r["outcome"] for r in self.log["results"] if r["task"]["phase"] == phase
        )


@pytest.fixture
def train(gym, monkeypatch):
    # pytester forgets what a run in this process imports: there would be two of each.
    for module in ("hub_process", "runner"):
        importlib.import_module(f"pytest_agentgym.training.{module}")
    gateway._Lightning.load()
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    return TrainGym(gym)


def test_scenarios_of_all_kinds_are_played_and_reported(train):
    train.gym.file("""
        import pytest
        from agentgym import Scenario, scenario

        @scenario(episodes=4, timeout=400)
        def test_sync(agent, case):
            assert agent.run("ok" if case.index % 2 else "hi").called(
                "look_up", order="7")

        @scenario(cases=["7", "8", "9", "7", "7"])
        async def test_async(async_agent, case):
            run = await async_agent.run(case.value)
            assert run.called("look_up", order="7")

        @scenario(cases=3, split="train")
        def test_alone(agent, monkeypatch):
            monkeypatch.setenv("SHOP", "open")
            assert agent.run("ok").called("look_up", order="7")

        class TestOrder(Scenario):
            def play(self, agent):
                assert agent.run("ok").called("look_up", order="7")

            def broadcast_rewards(self, trajectory):
                return [0.5 for _ in trajectory.steps]

            def define_trainable_components(self):
                return {"output_generation": True}

        def test_ordinary():
            raise OSError

        @pytest.mark.skip(reason="another day")
        @scenario
        def test_later(agent):
            assert agent.run("ok").reply

        @pytest.mark.xfail
        @scenario
        def test_hopeless(agent):
            assert agent.run("ok").reply
    """)
    train.script(phases=[["train", "train", 4], ["after", "train", 2]])
    result = train.run("--agentgym-seed=5")
    result.assert_outcomes(passed=4, skipped=2, deselected=1)
    assert result.ret == 0
    plan = train.log["plan"]
    assert plan["seed"] == 5
    assert plan["timeout"] == 400
    assert plan["name"] == train.path.name.strip("_-")
    known = {s["scenario"].partition("::")[2]: s for s in plan["scenarios"]}
    counts = {n: (s["train_cases"], s["held_out_cases"]) for n, s in known.items()}
    assert counts == {
        "test_sync": (None, None),
        "test_async": (3, 2),
        "test_alone": (3, 0),
        "TestOrder::play": (None, None),
    }
    assert known["test_sync"]["episodes"] == 4
    assert known["TestOrder::play"]["components"]["output_generation"]
    assert not known["test_sync"]["components"]["output_generation"]
    assert len(known["test_sync"]["source"]) == 64

    episodes = {e["id"]: e for e in train.gym.episodes()}
    results = {r["id"]: r for r in train.log["results"]}
    assert len(results) == 24
    assert episodes.keys() == results.keys()
    for name, result in results.items():
        episode, task = episodes[name], result["task"]
        assert episode["phase"] == task["phase"]
        assert episode["case"]["split"] == "train"
        assert episode["outcome"] == result["outcome"]
        assert episode["reward"] == result["reward"]
        made = [
            c for step in episode["trajectory"]["steps"] for c in step["tool_calls"]
        ]
        checks = {check["text"]: check["status"] for check in episode["checks"]}
        assert result["traits"]["calls"] == len(made)
        assert result["traits"]["checks"] == {
            text: status == "passed" for text, status in checks.items()
        }
    assert train.outcomes("train") == {"passed": 10, "failed": 6}
    listed = {
        r["task"]["case"]: episodes[r["id"]]["case"]["value"]
        for r in results.values()
        if "test_async" in r["task"]["scenario"]
    }
    assert listed == {0: "'8'", 1: "'9'", 2: "'7'", 3: "'8'"}
    steps = [r["steps"] for r in results.values() if "TestOrder" in str(r["task"])]
    assert len(steps) == 6
    assert all(set(s) == {0.5} for s in steps)


def test_a_missed_target_fails_the_scenarios_below_it(train):
    train.gym.file(
        ONE
        + """
    @scenario(episodes=4, threshold=0.25)
    def test_lenient(agent, case):
        run = agent.run("never" if case.index % 2 else "hi")
        assert run.called("look_up", order="7")

    @scenario(episodes=4)
    def test_never(agent):
        assert agent.run("never").called("look_up", order="7")
    """
    )
    result = train.run("--junitxml=junit.xml", "-rf")
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "measuring held-out cases before training: 12 episodes",
            "before: 16.7 % (2/12 episodes) in *",
            "training: 18 episodes",
            "update 1, reward 0.5, *",
            "after: 50.0 % (6/12 episodes) in *",
            "*FAILURES*",
            "reliability 0.0 % (0 of 4 episodes passed) is below 95 %",
            "    4 x test_it.py:*: agent.run(*",
            "*- training -*",
            "before     16.7 % *",
            "gate not met: the run is below 95 % and 1 of 3 scenarios is below its *",
            "FAILED test_it.py::test_never - reliability 0.0 %*",
        ]
    )
    summary = train.gym.summary()
    assert summary["exit_code"] == 1
    assert summary["reliability"]["value"] == 0.5
    assert summary["training"]["before"]["value"] == pytest.approx(2 / 12)
    junit = (train.path / "junit.xml").read_text()
    assert 'tests="3"' in junit
    assert 'failures="1"' in junit
    assert 'name="agentgym_reliability" value="1.0"' in junit
    train.run("--lf").assert_outcomes(failed=1)


@pytest.mark.parametrize("workers", [False, True])
def test_a_training_is_compared_with_its_baseline(train, workers):
    train.gym.file(ONE)
    difference = {"value": 0.5, "low": 0.1, "high": 0.9}
    train.script(result={"reason": "the target is reached", "difference": difference})
    run = train.start if workers else train.run
    args = ["-n2"] if workers else []
    assert run(*args).ret == 0
    first = train.gym.runs[-1].name
    summary = train.gym.summary()
    assert summary["training"]["reason"] == "the target is reached"
    check_summary(summary)
    # Against what the first training began with, and with what it ended.
    for given, before in ((f"{first}@before", 0.5), (first, 1)):
        limit = [f"--agentgym-baseline={given}", "--agentgym-max-drop=0.1"]
        result = run(*args, *limit, "--junitxml=junit.xml")
        assert result.ret == 0
        result.stdout.fnmatch_lines(["*- against the baseline -*", "drop *"])
        summary = train.gym.summary()
        found = summary["baseline"]["difference"]
        assert (found["before"], found["after"]) == (before, 1)
        assert (found["paired"], found["episodes"]) == (True, 4)
        check_summary(summary)
    junit = (train.path / "junit.xml").read_text()
    for name, value in (("episodes", 4), ("passed", 4), ("verdict", "UNDECIDED")):
        assert f'name="agentgym_{name}" value="{value}"' in junit


def test_each_module_and_parameter_has_its_own_wide_fixtures(train):
    train.gym.conftest(
        AGENT,
        add="""
log = []


@pytest.fixture(scope="session", params=["7", "8"])
def shop(request):
    log.append(f"open {request.param}")
    yield request.param
    log.append(f"close {request.param}")


@pytest.fixture(scope="module")
def street(request, shop):
    return f"{request.module.__name__} {shop}"


@pytest.fixture(scope="session")
def city():
    log.append("city")
    return object()


def pytest_sessionfinish(session):
    (session.config.rootpath / "log").write_text(" ".join(log))
""",
    )
    for name in "ab":
        train.gym.file(
            f"""
            from agentgym import scenario

            @scenario(episodes=2)
            def test_street(agent, shop, street, city, request):
                assert street == f"test_{name} {{shop}}"
                assert request.node.callspec.params["shop"] == shop
                assert request.getfixturevalue("street") == street
                run = agent.run("ok")
                assert run.called("look_up", order="7")
            """,
            f"test_{name}.py",
        )
    result = train.run()
    result.assert_outcomes(passed=4)
    assert train.outcomes("train") == {"passed": 24}
    log = (train.path / "log").read_text().split(" ", 2)
    assert Counter((train.path / "log").read_text().split()) == {
        "open": 2,
        "close": 2,
        "7": 2,
        "8": 2,
        "city": 1,
    }, log


def test_infrastructure_is_tried_again_and_never_rewarded(train):
    train.gym.file("""
        from agentgym import scenario

        tries = []

        @scenario(episodes=2)
        def test_order(agent, case, policy):
            tries.append(policy.base_url)
            if case.index == 1 or len(tries) < 3:
                raise ConnectionError("no network")
            assert agent.run("ok").called("look_up", order="7")
            assert len(set(tries)) == len(tries)
    """)
    train.script(phases=[["train", "train", 2]])
    train.run("--agentgym-infra-retries=2", "--agentgym-concurrency=1")
    assert train.outcomes("train") == {"passed": 1, "infra_error": 1}
    lost = next(r for r in train.log["results"] if r["outcome"] == "infra_error")
    assert lost["reward"] is None
    assert "no network" in lost["error"]


def test_an_overdue_episode_fails_and_makes_room(train):
    train.gym.file("""
        import time
        from agentgym import scenario

        @scenario(episodes=2, timeout=2)
        def test_slow(agent, case):
            time.sleep(0 if case.index else 60)
            assert agent.run("ok").called("look_up", order="7")
    """)
    train.script(phases=[["train", "train", 3]])
    train.run("--agentgym-concurrency=1")
    assert train.outcomes("train") == {"failed": 1, "passed": 2}


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("pytest.xfail('no')", 4, "*pytest.xfail() in an episode leaves nothing to*"),
        ("raise UsageError('what a scenario')", 4, "*what a scenario*"),
        ("pytest.exit('enough')", 2, "*enough*"),
    ],
)
def test_an_episode_can_end_the_training(train, body, code, line):
    train.gym.file(f"""
        import pytest
        from agentgym import UsageError, scenario

        @scenario
        def test_order(agent, case):
            if case.index == 2:
                {body}
            assert agent.run("ok").reply
    """)
    result = train.run()
    assert result.ret == code
    result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("skip", ["pytest.skip('no')", "raise SkipTest('no')"])
def test_a_skipped_case_is_not_trained_on(train, skip):
    train.gym.file(f"""
        from unittest import SkipTest
        import pytest
        from agentgym import scenario

        @scenario
        def test_order(agent, case):
            if case.index % 2:
                {skip}
            assert agent.run("look_up=7").called("look_up", order="7")
    """)
    train.script(phases=[["train", "train", 4]])
    train.run()
    results = [r for r in train.log["results"] if r["error"] is not None]
    assert [r["error"] for r in results] == ["skipped: no"] * 2
    assert {r["reward"] for r in results} == {None}
    assert len(train.gym.episodes()) == 2


def test_a_missing_fixture_is_told_before_anything_is_played(train):
    train.gym.file("""
        from agentgym import scenario

        @scenario
        def test_order(agent, warehouse):
            assert agent.run("ok").reply
    """)
    result = train.run()
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*there is no fixture 'warehouse'*"])
    result.stdout.no_fnmatch_line("*what was learned is saved*")
    assert not train.gym.runs


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"tool_execution": True}, "tool_execution is what happens within the tool: *"),
        ({"tools": True}, "give True or False for any of tool_selection, *"),
    ],
)
def test_components_that_cannot_be_trained(train, said, sentence):
    train.gym.file(f"""
        from agentgym import Scenario

        class TestOrder(Scenario):
            def play(self, agent):
                assert agent.run("ok").reply

            def define_trainable_components(self):
                return {said}
    """)
    result = train.run()
    assert result.ret == 4
    name = "TestOrder.define_trainable_components() returned "
    result.stdout.fnmatch_lines([f"*{name}{said}: {sentence}"])
    assert not train.gym.runs


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_scenario_that_cannot_be_set_up_is_an_error(train, workers):
    train.gym.file(
        ONE
        + """
    import pytest

    @pytest.fixture(scope="session")
    def shop():
        raise OSError("no shop")

    @scenario
    def test_shop(agent, shop):
        assert agent.run("ok").reply
    """
    )
    result = train.start(*workers) if workers else train.run()
    result.assert_outcomes(errors=1)
    assert result.ret == 6
    sentence = "CANNOT JUDGE: 1 scenario errored outside of the episodes"
    why = "test_it.py::test_shop: set-up failed: OSError: no shop"
    result.stdout.fnmatch_lines(["*OSError: no shop*", sentence, f"  {why}"])
    assert not train.gym.runs


def test_a_fixture_that_cannot_be_torn_down_is_an_error(train):
    train.gym.file(
        ONE.replace("agent, case", "agent, case, shop")
        + """
    import pytest

    @pytest.fixture(scope="session")
    def shop():
        yield
        raise OSError("still open")
    """
    )
    result = train.run("--junitxml=junit.xml")
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 6
    sentence = "CANNOT JUDGE: 1 scenario errored outside of the episodes"
    result.stdout.fnmatch_lines(["*OSError: still open*", sentence])
    result.stdout.no_fnmatch_line("*gate met*")
    summary = train.gym.summary()
    assert summary["exit_code"] == 6
    (reason,) = summary["decision"]["reasons"]
    assert (reason["kind"], reason["scenario"]) == ("errored", "test_it.py::test_order")
    assert reason["sentence"] == "tear-down failed: OSError: still open"
    assert sentence in (train.path / "junit.xml").read_text()


@pytest.mark.parametrize(("threshold", "passed"), [(0.75, 2), (0.7, 1)])
def test_a_threshold_that_is_the_target_is_no_other_one(train, threshold, passed):
    """The run reaches its 75 %: only another threshold fails the scenario of 50 %."""
    train.gym.file(f"""
        from agentgym import scenario

        @scenario(episodes=4)
        def test_good(agent):
            assert agent.run("ok").called("look_up", order="7")

        @scenario(episodes=4, threshold={threshold})
        def test_half(agent, case):
            run = agent.run("never" if case.index % 2 else "ok")
            assert run.called("look_up", order="7")
    """)
    train.script(phases=[["after", "held_out", 4]])
    result = train.run("--agentgym-target=0.75")
    result.assert_outcomes(passed=passed, failed=2 - passed)
    assert result.ret == train.gym.summary()["exit_code"] == 2 - passed


def test_the_trainers_mistakes(train):
    train.gym.file(ONE)
    train.script(usage="the rewards never vary")
    result = train.run()
    assert result.ret == 4
    result.stdout.fnmatch_lines(["agentgym: the rewards never vary"])
    assert result.stdout.str().count("the rewards never vary") == 1
    summary = train.gym.summary()
    assert (summary["exit_code"], summary["decision"]["exit_code"]) == (4, 4)
    reasons = [r["kind"] for r in summary["decision"]["reasons"]]
    assert reasons == ["usage", "no_scenario"]
    result.stdout.no_fnmatch_line("*Traceback*")
    train.script(crash="what now")
    result = train.run()
    assert result.ret == 3
    result.stdout.fnmatch_lines(["*RuntimeError: what now"])
    sentence = train.gym.summary()["decision"]["sentence"]
    assert sentence.startswith("INTERRUPTED: an internal error ended the run")


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_a_scenario_that_asks_for_no_case_has_one(train, workers):
    train.gym.file("""
        from agentgym import scenario

        @scenario(episodes=4)
        def test_alike(agent):
            assert agent.run("ok").called("look_up", order="7")

        @scenario(episodes=4)
        def test_apart(agent, case):
            assert agent.run("ok").called("look_up", order="7")
    """)
    train.script(phases=[["before", "held_out", 4], ["after", "held_out", 4]])
    assert train.start(*workers).ret == 0
    alike, apart = train.gym.summary()["scenarios"]
    assert alike["pass_k_cases"] == {"1": 1, "2": 1, "4": 1}
    assert [case["case"] for case in alike["case_results"]] == [None]
    assert apart["pass_k_cases"] == {"1": 4}
    assert len(apart["case_results"]) == 4


def test_a_target_that_is_met_before_training(train):
    train.gym.file(ONE.replace('"hi"', '"ok"'))
    train.script(phases=[["before", "held_out", 4]])
    result = train.run("-rA")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED test_it.py::test_order"])
    assert train.gym.summary()["reliability"]["value"] == 1.0


@pytest.mark.parametrize(("episodes", "code"), [(4, 1), (60, 0)])
def test_a_training_that_asks_for_a_certificate(train, episodes, code):
    """Of 4 episodes that all pass none certifies 95 %, of 60 the run does."""
    train.gym.file(ONE.replace('"hi"', '"ok"'))
    train.script(
        phases=[["before", "held_out", 2], ["after", "held_out", episodes]],
        result={"gate": "certified", "at_least": 0.9, "next_confidence": 0.9925},
    )
    result = train.run("--agentgym-gate", "certified")
    assert result.ret == code
    verb = "is not" if code else "is"
    result.stdout.fnmatch_lines(
        [
            "looks      1 look at held-out cases after training; at least 90.0 % at*",
            f"gate {'not ' if code else ''}met: the run {verb} certified to reach 95 %",
        ]
    )
    summary = train.gym.summary()
    assert summary["gate"] == "certified"
    assert summary["training"]["gate"] == "certified"
    kept = json.loads((train.gym.runs[-1] / "training.json").read_text())
    assert kept["certified"] is True


def test_a_training_that_still_runs_is_not_resumed(train):
    train.gym.file(
        ONE
        + """
    @scenario(episodes=1)
    def test_resume(agent, case):
        from pathlib import Path
        import pytest
        from agentgym import UsageError
        from pytest_agentgym.training.setting_up import hold

        agent.run("ok")
        run, = Path(".agentgym/runs").iterdir()
        with pytest.raises(UsageError, match="is still running; wait for its end"):
            hold(run)
        assert run.exists()
    """
    )
    train.script(phases=[["after", "held_out", 1]])
    train.run().assert_outcomes(passed=2)
    # It lets go at its end.
    os.close(hold(train.gym.runs[-1]))


def test_a_training_that_cannot_be_judged(train):
    train.gym.file(ONE)
    train.script(judgeable=False)
    assert train.run().ret == 6
    assert train.gym.summary()["exit_code"] == 6


def test_nothing_to_train(train):
    train.gym.file("def test_ordinary(): pass")
    assert train.run().ret == 5
    train.gym.file("import nothing_of_the_kind")
    result = train.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*error*during collection*"])


def test_two_workers(train):
    train.gym.file(ONE)
    train.gym.file(ONE.replace("test_order", "test_more"), "test_more.py")
    train.script(
        phases=[
            ["before", "held_out", 4],
            ["train", "train", 20],
            ["after", "train", 4],
        ]
    )
    args = ["-n2", "-rA", "--agentgym-concurrency=2", "--junitxml=junit.xml"]
    result = train.start(*args)
    assert result.ret == 0, result.stdout.str()
    cases = ElementTree.parse(train.path / "junit.xml").getroot().iter("testcase")
    assert sorted(c.attrib.get("name", "") for c in cases) == [
        "test_more",
        "test_order",
    ]
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*before: 50.0 % (4/8 episodes) in *",
            "PASSED test_it.py::test_order",
            "PASSED test_more.py::test_more",
        ]
    )
    assert train.outcomes("train") == {"passed": 20, "failed": 20}
    assert len(train.gym.episodes()) == 56
    assert train.gym.summary()["reliability"]["value"] == 1.0
    page = Page(train.gym.runs[-1] / "report.html")
    assert page.report["summary"] == train.gym.summary()
    assert "training" in page.report["summary"]
    assert page.report["phases"] == ["before", "train", "after"]
    assert len(page.rows) == 56


def test_a_worker_that_dies_is_replaced(train):
    train.gym.file("""
        import os, pathlib, signal
        from agentgym import scenario

        @scenario(episodes=4)
        def test_order(agent, case):
            if case.split == "train" and case.index == 3:
                try:
                    pathlib.Path("killed").touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            assert agent.run("ok").called("look_up", order="7")
    """)
    result = train.start("-n2")
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(["*node down*", "*replacing crashed worker*"])
    result.assert_outcomes(passed=1)
    assert train.outcomes("train")["passed"] == 6
    assert train.outcomes("train")["infra_error"] >= 1


def test_a_usage_error_in_a_worker_ends_the_run(train):
    train.gym.file("""
        from agentgym import UsageError, scenario

        @scenario
        def test_order(agent, case):
            if case.index == 1:
                raise UsageError("what a scenario")
            assert agent.run("ok").reply
    """)
    result = train.start("-n2")
    assert result.ret == 4, result.stdout.str()
    # With a report before it if the other worker has played an episode.
    result.stdout.re_match_lines(["(agentgym|CANNOT JUDGE): what a scenario"])


def begin(train, *args):
    return start_group(["-m", "pytest", *train.arguments(*args)], train.path)


@pytest.mark.parametrize(
    ("workers", "number"),
    [([], signal.SIGINT), (["-n2"], signal.SIGINT), ([], signal.SIGTERM)],
)
def test_a_signal_saves_and_says_how_to_go_on(train, workers, number):
    train.gym.file("""
        import time
        from agentgym import scenario

        @scenario(episodes=4)
        def test_order(agent, case):
            assert agent.run("ok").called("look_up", order="7")
            if case.split == "train":
                time.sleep(60)
    """)
    process = begin(train, *workers)
    signal_when(
        process,
        lambda: bool(train.gym.runs) and len(train.gym.episodes()) == 4,
        pause=0.5,
        number=number,
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert "INTERRUPTED: what was learned is saved; go on with" in output
    assert "Traceback" not in output
    assert "gate" not in output
    summary = train.gym.summary()
    assert summary["exit_code"] == 2
    assert summary["interrupted"]
    assert summary["reliability"]["value"] == 1.0

    (folder,) = train.gym.runs
    # One that cannot go on leaves what is there.
    train.script(usage="the memory is too small", phases=[])
    assert train.run("--agentgym-resume").ret == pytest.ExitCode.USAGE_ERROR
    assert train.gym.summary() == summary
    train.script(phases=[["after", "held_out", 4]])
    result = train.run("--agentgym-resume")
    assert result.ret == 0
    assert train.gym.runs == [folder]
    assert Path(train.log["plan"]["run_folder"]) == folder
    phases = Counter(e["phase"] for e in train.gym.episodes())
    assert phases == {"before": 4, "after": 4}
    result.stdout.fnmatch_lines(["tool calls per passed episode: 1.00 before, 1.00 *"])


def test_a_second_ctrl_c_waits_for_nothing(train):
    train.script(saving=60)
    train.gym.file("""
        import time
        from agentgym import scenario

        @scenario(episodes=4)
        def test_order(agent):
            time.sleep(60)
    """)
    process = begin(train)
    output = ""
    for seen in ("measuring held-out cases", "stopping the training"):
        while seen not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=50)
    assert process.returncode == 2, output + rest
    assert "agentgym: interrupted again while it saved: go on with pytest" in rest


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_the_panel_of_a_training(train, workers):
    pytest.importorskip("rich")
    pytest.importorskip("pyte")
    from tests.pty_terminal import Terminal

    train.gym.file(ONE)
    command = [sys.executable, "-m", "pytest", *train.arguments(*workers)]
    shown = Terminal(command, train.path, {})
    shown.follow()
    assert shown.code == 0
    top = "╭─ agentgym training, target 95 % ─"
    for screen in shown.screens:
        assert sum(line.startswith(top) for line in screen) <= 1
    # Its last state stays, under what was written meanwhile.
    lines = [line.rstrip() for line in shown.lines]
    (panel,) = [i for i, line in enumerate(lines) if line.startswith(top)]
    above = [line.partition(" in ")[0] for line in lines[:panel]]
    assert "before: 50.0 % (2/4 episodes)" in above
    assert re.match(r"│ episodes +█{30} 4/4, 14 in all +│", lines[panel + 2])
    assert any(re.search(r"- verdict -", line) for line in lines[panel:])
    assert not shown.cursor_hidden


def test_a_training_keeps_no_secret(train):
    key = "sk-proj-4f9a7c1e8b2d6a3f5c0e9b8d"
    train.gym.conftest(AGENT.replace("is paid", f"is paid with {key}"))
    train.gym.file(ONE.replace('order="7"', f'order="{key}"'))
    result = train.run()
    assert result.ret == 1
    assert train.outcomes("train").total() == 6
    stored = [path for path in train.gym.runs[-1].rglob("*") if path.is_file()]
    texts = {path.name: path.read_text(errors="replace") for path in stored}
    assert "is paid with ***" in texts["episodes.jsonl"]
    texts["terminal"] = result.stdout.str()
    assert [name for name, text in texts.items() if key in text] == []
