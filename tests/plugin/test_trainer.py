"""`agentgym.Trainer` and `agentgym train`: pytest in a child process."""

from __future__ import annotations

import importlib
import json
import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym import AgentGymError, Scenario, Trainer, TrainingResult, UsageError
from agentgym.commands.main import main
from agentgym.training import trainer
from tests.process_group import signal_when, start_group

TESTS = Path(__file__).parents[1]
ONE = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_order(agent):
        assert agent.run("hi").called("look_up", order="7")
"""
AGENT = '''
import json

import agentgym
import httpx
import pytest


@agentgym.tool
def look_up(order):
    """Finds an order."""


@pytest.fixture
def agent(policy):
    def run(message):
        answer = httpx.post(
            policy.base_url + "/chat/completions",
            headers={"Authorization": f"Bearer {policy.api_key}"},
            json={"messages": [{"role": "user", "content": message}]},
            timeout=20,
        )
        answer.raise_for_status()
        reply = answer.json()["choices"][0]["message"]
        for call in reply.get("tool_calls") or ():
            look_up(**json.loads(call["function"]["arguments"]))
        return reply["content"] or "done"

    return agentgym.wrap(run)
'''


# Finding scenarios.


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("scenarios/support", "support", "billing", "src/deep"):
        (tmp_path / "shop" / name).mkdir(parents=True)
    (tmp_path / "shop" / "scenarios" / "support" / "test_a.py").touch()
    return tmp_path / "shop"


@pytest.mark.parametrize("root", [".", "src/deep"])
@pytest.mark.parametrize(
    ("scenario", "found"),
    [
        ("support", "scenarios/support"),
        ("billing", "billing"),
        ("scenarios/support", "scenarios/support"),
        ("support/test_a.py", "scenarios/support/test_a.py"),
        ("support/test_a.py::test_x[a-1]", "scenarios/support/test_a.py::test_x[a-1]"),
        (Path("billing"), "billing"),
    ],
)
def test_scenarios_are_found(shop, scenario, found, root):
    assert Trainer(scenario, root=shop / root).scenarios == [str(shop / found)]


def test_a_pack_is_named_where_there_is_no_such_folder(shop):
    named = Trainer("customer_support", root=shop).scenarios
    assert named == ["--agentgym-scenario=customer_support"]
    (shop / "customer_support").mkdir()
    found = Trainer("customer_support", root=shop).scenarios
    assert found == [str(shop / "customer_support")]


def test_several_and_exact_paths(shop, monkeypatch):
    monkeypatch.chdir(shop)
    made = Trainer(["billing", "./support", shop / "src"])
    assert made.scenarios == [str(shop / n) for n in ("billing", "support", "src")]


def test_classes_and_functions(tmp_path, monkeypatch):
    (tmp_path / "scenarios_of_mine.py").write_text(
        "from agentgym import Scenario, scenario\n"
        "class TestOrder(Scenario):\n"
        "    class TestInner(Scenario): pass\n"
        "@scenario\n"
        "def test_order(agent): assert agent.run('hi').reply\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("scenarios_of_mine")
    wanted = [mine.TestOrder, mine.TestOrder.TestInner, mine.test_order]
    assert Trainer(wanted).scenarios == [
        f"{mine.__file__}::TestOrder",
        f"{mine.__file__}::TestOrder::TestInner",
        f"{mine.__file__}::test_order",
    ]


def local_class() -> type[Scenario]:
    class Local(Scenario):
        pass

    return Local


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"scenario": "suport"},
            "there are no scenarios 'suport': neither scenarios/suport nor suport "
            "exists in {root} or a folder above it, and there is no scenario pack "
            "'suport': installed are ",
        ),
        (
            {"scenario": "./nowhere::test_x"},
            "there are no scenarios './nowhere::test_x': {root}/nowhere does not exist",
        ),
        ({"scenario": ""}, "there are no scenarios ''"),
        ({"scenario": []}, "scenario=[]: name at least one"),
        (
            {"scenario": Scenario},
            "<class 'agentgym.scenarios.scenario.Scenario'> is",
        ),
        ({"scenario": len}, "<built-in function len> is no scenario: give a folder's"),
        ({"scenario": local_class()}, "the scenario local_class.<locals>.Local is def"),
        (
            {"scenario": "support", "config": {"target": 1}},
            "config={'target': 1}: give a TrainingConfig",
        ),
        ({"scenario": "support", "root": "/no/where"}, "root='/no/where': there is no"),
    ],
)
def test_mistakes_before_anything_starts(shop, arguments, sentence):
    if "config" in arguments:
        pytest.importorskip("pydantic")
    with pytest.raises(UsageError) as caught:
        Trainer(**{"root": shop, **arguments})
    assert str(caught.value).startswith(sentence.replace("{root}", str(shop)))


def test_it_does_not_start_itself_again(shop, monkeypatch):
    monkeypatch.setenv(trainer._WITHIN, "1")
    with pytest.raises(UsageError, match='below `if __name__ == "__main__":`'):
        Trainer("support", root=shop).train()


# With a trainer that learns by script.


class ScriptedProject:
    """A project whose agent is trained by script, in a child process."""

    def __init__(self, gym: Any) -> None:
        self.path: Path = gym.pytester.path
        self.gym = gym
        gym.conftest(AGENT)
        gym.file(ONE, "scenarios/shop/test_it.py")

    def script(self, **script: Any) -> None:
        phases = [["before", "held_out", 2], ["after", "held_out", 2]]
        known = {"phases": phases, "result": {"reason": "by script"}}
        (self.path / "trainer.json").write_text(json.dumps(known | script))

    def train(self, scenario: str = "shop", **arguments: Any) -> TrainingResult:
        return Trainer(scenario, root=self.path, **arguments).train()

    @property
    def plan(self) -> dict[str, Any]:
        return json.loads((self.path / "trainer-log.json").read_text())["plan"]


@pytest.fixture
def project(gym, monkeypatch):
    pytest.importorskip("agentlightning")
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p scripted_trainer")
    monkeypatch.chdir(gym.pytester.path)
    made = ScriptedProject(gym)
    made.script()
    return made


def test_a_training_becomes_a_result(project, capfd):
    config = agentgym.TrainingConfig(
        target=0.9, learning_rate=0.5, components={"tool_selection"}
    )
    result = project.train(config=config, seed=3, save="mine", workers=2, episodes=2)
    assert isinstance(result, TrainingResult)
    assert result.before == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert result.after == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (result.met, result.interrupted) == (True, False)
    assert result.agent == Path(".agentgym/agents/x/v1.0")
    plan = project.plan
    assert (plan["seed"], plan["name"]) == (3, "mine")
    assert [scenario["episodes"] for scenario in plan["scenarios"]] == [2]
    assert plan["config"] == {
        "target": 0.9,
        "learning_rate": 0.5,
        "components": ["tool_selection"],
    }
    told = capfd.readouterr().out
    assert "2 workers" in told
    assert "by script" in told


def test_a_missed_target_is_no_error(project):
    project.script(phases=[["before", "held_out", 2]])
    result = project.train("shop/test_it.py::test_order")
    assert (result.met, result.after) == (False, None)
    assert project.plan["name"] == "shop"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"policy": "nowhere"}, "policy 'nowhere' is neither an existing folder nor"),
        ({"resume": True}, "--agentgym-resume: there is no training in "),
        ({"save": "../x"}, "--agentgym-save: '../x' cannot be an agent's name"),
        ({"workers": "x"}, "argument -n/--numprocesses: "),
        ({"scenario": "shop/test_it.py::test_none"}, "not found: "),
    ],
)
def test_wrong_usage_is_told_in_the_childs_words(project, capfd, arguments, sentence):
    with pytest.raises(UsageError) as caught:
        project.train(**arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert str(caught.value) in " ".join(capfd.readouterr().err.split())


def test_fewer_workers_than_none(project):
    with pytest.raises(UsageError, match="workers=-1: give a number from 0"):
        project.train(workers=-1)


def test_what_the_trainer_finds_wrong(project):
    project.script(usage="the rewards never vary")
    with pytest.raises(UsageError) as caught:
        project.train()
    assert str(caught.value) == "the rewards never vary"


def test_a_folder_without_scenarios(project):
    (project.path / "scenarios" / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no scenario was found in /.*/empty"):
        project.train("empty")


def test_a_training_that_fails(project):
    project.script(crash="out of paper")
    with pytest.raises(AgentGymError, match="with an internal error") as caught:
        project.train()
    assert not isinstance(caught.value, UsageError)


def test_scenarios_that_cannot_be_imported(project):
    project.gym.file("import nothing_of_this_name", "scenarios/shop/test_it.py")
    with pytest.raises(AgentGymError, match="exit code 2 before the training was done"):
        project.train()


def test_a_training_that_cannot_be_judged(project):
    project.script(judgeable=False)
    with pytest.raises(
        AgentGymError, match=r"too few .* \(2 passed\): pytest's output"
    ):
        project.train()


def test_a_child_that_is_killed(project):
    project.gym.more_conftest("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(AgentGymError, match=r"killed by SIGKILL: .* resume=True"):
        project.train()


FRONT = """
    import sys
    from agentgym import Trainer

    if __name__ == "__main__":
        result = Trainer(sys.argv[1]).train()
        print("interrupted:", result.interrupted, "before:", result.before["value"])
"""
WAITING = """
    import time
    from agentgym import scenario

    @scenario(episodes=2)
    def test_order(agent, case):
        if case.split == "train":
            open("waiting", "w").close()
            time.sleep(60)
        assert agent.run("hi").called("look_up", order="7")
"""


@pytest.mark.parametrize(
    ("front", "number", "code", "said"),
    [
        (["front.py"], signal.SIGINT, 0, "interrupted: True before: 0.0"),
        (["front.py"], signal.SIGTERM, -signal.SIGTERM, ""),
        (["-m", "agentgym.commands.main", "train"], signal.SIGINT, 2, ""),
    ],
)
def test_ctrl_c_reaches_the_child_once(project, front, number, code, said):
    project.gym.file(FRONT, "front.py")
    project.gym.file(WAITING, "scenarios/shop/test_it.py")
    project.script(phases=[["before", "held_out", 2], ["after", "train", 2]])
    process = start_group([*front, "shop"], project.path)
    signal_when(process, (project.path / "waiting").exists, number=number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "INTERRUPTED: what was learned is saved; go on with" in output
    assert said in output
    assert "Traceback" not in output
    assert project.gym.summary()["interrupted"]


# The command.


def test_the_command_has_pytests_exit_codes(project, capfd):
    more = ["--target=0.9", "--updates=7", "--budget=90s", "--config=c.json"]
    more.append("--episodes=3")
    (project.path / "c.json").write_text('{"group_size": 4}')
    assert main(["train", "shop", "--seed=5", "--save=mine", *more]) == 0
    plan = project.plan
    assert [scenario["episodes"] for scenario in plan["scenarios"]] == [3]
    assert (plan["seed"], plan["name"]) == (5, "mine")
    assert plan["config"] == {
        "target": 0.9,
        "updates": 7,
        "minutes": 1.5,
        "group_size": 4,
        # Chosen by the model's size.
        "learning_rate": 2e-3,
    }
    project.script(phases=[["before", "held_out", 2]])
    assert main(["train", "shop"]) == 1
    capfd.readouterr()
    assert main(["train", "shop", "--target=95"]) == 4
    told = capfd.readouterr()
    assert told.err.strip() == (
        "ERROR: --agentgym-target 95: give a share above 0 and up to 1, such as 0.95"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "agentgym train: error: the following arguments are required: SCENARIO"),
        (["shop", "--seed=x"], "agentgym train: error: argument --seed: invalid int"),
        (["nowhere"], "agentgym: there are no scenarios 'nowhere'"),
    ],
)
def test_misuse_of_the_command(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["train", *arguments])
    except SystemExit as exc:
        code = exc.code
    assert code == 4
    assert sentence in capsys.readouterr().err


# For real.

REAL = """
    from agentgym import scenario

    @scenario(episodes=16)
    def test_length(agent, case):
        reply = agent.run(f"Where is my order A{case.seed % 9000 + 1000}?").reply
        assert len(reply) % 2
"""


@pytest.mark.slow
def test_a_real_training(gym, monkeypatch):
    """Random rewards: it measures, learns once, measures again and saves."""
    pytest.importorskip("agentlightning")
    monkeypatch.chdir(gym.pytester.path)
    gym.conftest(AGENT)
    gym.file(textwrap.dedent(REAL), "scenarios/tiny/test_it.py")
    config = agentgym.TrainingConfig(
        updates=1, groups=1, group_size=8, target=1.0, components={"output_generation"}
    )
    result = Trainer("tiny", config).train()
    assert (result.updates, result.version, result.policy) == (1, 1, "embedded")
    assert result.episodes >= 8
    assert not result.interrupted
    for share in (result.before, result.after):
        assert share is not None
        assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    assert result.agent is not None
    trained = agentgym.TrainedAgent.load("tiny")
    assert trained.adapter == result.agent
    assert trained.about["updates"] == 1
