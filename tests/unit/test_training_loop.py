"""The training loop with a real update, on episodes that are played by script."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch

from agentgym.errors import UsageError
from agentgym.recording.blame import Outcome
from agentgym.runs.files.updates import UpdateLine
from agentgym.scenarios.components import TRAINABLE_COMPONENTS
from agentgym.training.batch.rows import TrainingRow
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.player import TrainingStopped
from agentgym.training.hub.rollout_result import ModelCallRecord, RolloutResult
from agentgym.training.job.config import TrainingConfig
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.task import ScenarioInfo, Task
from agentgym.training.job.traits import Traits
from agentgym.training.loop import assembly, loop
from agentgym.training.loop import result as results_of_trainings
from agentgym.training.loop.checkpoint import Checkpoint
from agentgym.training.loop.evaluator import Evaluator
from agentgym.training.loop.forecast import Forecast
from agentgym.training.loop.journal import Journal
from agentgym.training.loop.loop import Training
from agentgym.training.loop.measurement import MeasuredEpisodes
from agentgym.training.loop.versions import Versions
from agentgym.training.step.update import Updater
from tests.tiny_policy import make_tiny
from tests.tiny_training import plain_logprobs

Passes = Callable[[Task], bool]


class Host(PolicyHost):
    """Keeps versions as the policy host does, and serves none."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.closed = False
        self.published: list[int] = []

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def publish(self, version: int) -> None:
        assert self.adapter(version).is_dir()
        self.version = version
        self.published.append(version)

    def close(self) -> None:
        super().close()
        self.closed = True


class Player:
    """Answers each task with one model call of random text."""

    passes: Passes = staticmethod(lambda task: (task.case + task.repeat) % 2 == 0)
    traits: Callable[[Task], Traits | None] = staticmethod(lambda task: None)
    calls_until_stop = 10_000

    def __init__(self, *, host: Host, **_: Any) -> None:
        self.host = host
        self.model: Any = None
        self._random = random.Random(0)

    def play(
        self, tasks: Sequence[Task], on_result: Any = lambda _: None
    ) -> list[RolloutResult]:
        type(self).calls_until_stop -= 1
        if self.calls_until_stop < 0:
            raise TrainingStopped("the training was stopped")
        results = [self._result(task) for task in tasks]
        for result in results:
            on_result(result)
        return results

    def _result(self, task: Task) -> RolloutResult:
        prompt = [10, 11, 12, task.case % 50 + 20]
        said = [self._random.randrange(40, 200) for _ in range(4)]
        row = TrainingRow(ids=prompt + said, sampled=[4, 5, 6, 7])
        with torch.no_grad():
            logprobs = plain_logprobs(self.model, row).tolist()
        passed = type(self).passes(task)
        call = ModelCallRecord(
            prompt_ids=prompt,
            token_ids=said,
            logprobs=logprobs,
            model="policy",
            version=self.host.version,
            finish_reason="length",
            prompt_tokens=4,
            completion_tokens=4,
            ok=True,
        )
        return RolloutResult(
            rollout_id=f"{task}",
            task=task,
            state="succeeded",
            outcome=Outcome.passed if passed else Outcome.failed,
            reward=float(passed),
            calls=[call],
            traits=type(self).traits(task),
        )


class Observer:
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.said: list[str] = []

    def phase(self, phase: str, planned: int) -> None:
        self.phases.append(phase)

    def update(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def say(self, text: str) -> None:
        self.said.append(text)


class Made:
    """A training of a tiny model, and what it left."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root = root
        self.run_folder = root / ".agentgym/runs/20260101-120000-ab"
        self.run_folder.mkdir(parents=True)
        self.agents = root / ".agentgym/agents"
        self.model = model
        self.observer = Observer()

    def training(
        self,
        components: dict[str, bool] | None = None,
        *,
        certified: bool = False,
        episodes: int = 4,
        **settings: Any,
    ) -> Training:
        self.observer = Observer()
        small = {"groups": 2, "group_size": 4, "updates": 2, "target": 0.99}
        plan = TrainingPlan(
            scenarios=(
                ScenarioInfo(
                    scenario="test_it.py::test_it",
                    episodes=episodes,
                    train_cases=None,
                    held_out_cases=None,
                    components={**TRAINABLE_COMPONENTS, **(components or {})},
                ),
            ),
            base=self.model,
            adapter=None,
            base_spec="tiny",
            config=TrainingConfig(**{**small, **settings}),
            seed=0,
            name="tiny",
            run_folder=self.run_folder,
            root=self.root,
            timeout=1.0,
            certified=certified,
        )
        training = assembly.make_training(plan, None, self.observer)  # type: ignore[arg-type]
        player: Any = training._player
        player.model = training._updater.model.get_base_model()
        return training

    @property
    def updates(self) -> list[dict[str, Any]]:
        path = self.run_folder / "updates.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "m", "qwen3")


@pytest.fixture
def made(tmp_path, model, monkeypatch):
    monkeypatch.setattr(assembly, "PolicyHost", Host)
    monkeypatch.setattr(assembly, "Player", Player)
    monkeypatch.setattr(Player, "passes", Player.passes)
    monkeypatch.setattr(Player, "traits", Player.traits)
    monkeypatch.setattr(Player, "calls_until_stop", Player.calls_until_stop)
    return Made(tmp_path, model)


def test_collect_batch_update_publish_and_the_best_version_is_saved(made):
    training = made.training()
    result = training.run()
    assert result.updates == 2
    assert result.reason == "all 2 updates were made"
    assert made.observer.phases == ["before", "train", "train", "after"]
    assert training._host.published == [0, 1, 2, 2]
    assert made.updates == made.observer.rows
    assert [row["update"] for row in made.updates] == [1, 2]
    for row in made.updates:
        assert set(row) == UpdateLine.__required_keys__
    # 2 groups of 4 episodes of 4 tokens; the first of each decides not to call.
    assert [row["trained_tokens"] for row in made.updates] == [8, 8]
    assert [row["zero_variance_groups"] for row in made.updates] == [0, 0]
    assert all(row["mismatch"] < 1e-4 for row in made.updates)
    # Of each case's episodes every other one passes.
    assert (result.before["value"], result.after["value"]) == (0.5, 0.5)
    assert not result.met
    about = json.loads((result.agent / "agent.json").read_text())
    assert about["updates"] == 2
    assert training._host.closed


def test_without_a_token_to_train_a_training_ends_before_an_update(made):
    """What varies is earned by text, and only arguments are trained."""
    training = made.training(components={"tool_selection": False})
    with pytest.raises(UsageError) as caught:
        training.run()
    assert str(caught.value) == (
        "the batch has no token to train, so that nothing can be learned from it: all "
        "that the model sampled belongs to frozen components (24 output_generation, "
        "8 tool_selection), and what is trained is parameter_selection, reasoning; "
        "train another one, too, by --agentgym-components or "
        "@scenario(trainable_components=...)"
    )
    assert not (made.run_folder / "updates.jsonl").exists()
    assert not made.agents.exists()
    assert training._host.closed


def test_nothing_is_played_where_no_component_is_trained(made):
    frozen = dict.fromkeys(TRAINABLE_COMPONENTS, False)
    with pytest.raises(UsageError, match="no scenario has a component to train"):
        made.training(components=frozen)
    assert made.observer.phases == []


def test_zero_variance_groups_alone_end_a_training(made, monkeypatch):
    monkeypatch.setattr(Player, "passes", lambda task: False)
    with pytest.raises(UsageError, match="made no tool call and earned nothing"):
        made.training().run()
    assert made.observer.phases == ["before", "train", "train", "train"]
    assert not made.agents.exists()


def test_zero_variance_groups_after_an_update_end_it_with_a_reason(made, monkeypatch):
    seen = []

    def passes(task):
        seen.append(task)
        learned = sum(task.phase == "train" for task in seen) > 8
        return (task.case + task.repeat) % 2 == 0 and not (
            learned and task.phase == "train"
        )

    monkeypatch.setattr(Player, "passes", passes)
    result = made.training(updates=9).run()
    assert result.updates == 1
    assert result.reason == (
        "the last 3 batches had zero-variance groups only: all episodes of a case "
        "earned the same"
    )
    assert result.agent is not None


def test_a_budget_that_measuring_uses_up(made):
    result = made.training(minutes=1e-9).run()
    assert (result.updates, result.agent) == (0, None)
    # How long measuring took, no test can know.
    assert re.sub(r"about [\d.]+ \w+;", "about ...;", result.reason) == (
        "the budget of 0 us was used up before the first update: each of two "
        "measurements takes about ...; give --agentgym-budget more, or measure "
        "fewer episodes (--agentgym-episodes)"
    )
    # It was told while the first measurement was played, too.
    (said,) = made.observer.said
    assert "leaves no update of the budget of 0 us: stop, and give" in said


def test_a_budget_is_found_too_small_at_the_pace_of_a_quarter():
    said: list[str] = []
    forecast = Forecast(20.0, 100, begun=60.0, say=said.append)
    for episode in range(1, 25):
        forecast.finished(60.0 + 60 * episode)
    assert not said
    # Nine minutes for all, and ten for the end: the budget has room for more.
    Forecast(20.0, 4, begun=0.0, say=said.append).finished(9 * 60 / 4)
    assert not said
    forecast.finished(60.0 + 25 * 6)
    forecast.finished(60.0 + 26 * 6)
    assert said == [
        "at this pace each of two measurements takes about 10 min, which leaves "
        "no update of the budget of 20 min: stop, and give --agentgym-budget 42m "
        "or more, or measure fewer episodes (--agentgym-episodes)"
    ]


def test_a_target_that_is_met_before(made, monkeypatch):
    monkeypatch.setattr(Player, "passes", lambda task: True)
    result = made.training().run()
    assert result.reason == "the target was met before training"
    assert (result.met, result.updates, result.agent) == (True, 0, None)


def test_a_version_that_does_well_in_validation_is_measured(made, monkeypatch):
    def passes(task):
        return task.phase in ("validate", "after") or task.repeat > 0

    monkeypatch.setattr(Player, "passes", passes)
    monkeypatch.setattr("agentgym.training.loop.versions.VALIDATE_AFTER", 1)
    monkeypatch.setattr("agentgym.training.loop.versions.NEAR", 1.0)
    result = made.training(updates=9).run()
    assert made.observer.phases == ["before", "train", "validate", "after"]
    assert made.observer.said == [
        "version 1: 100.0% on 48 validation episodes (validation threshold 99.2%)"
    ]
    assert result.reason == "the target was met"
    assert (result.met, result.version, result.looks) == (True, 1, 1)


def test_a_target_that_must_be_certain(made, monkeypatch):
    """99 of 100 reach 95 % at once; the second look needs another confidence."""
    looks = []

    def passes(task):
        if task.phase == "after" and not task.case:
            looks.append(task)
        if task.phase == "after":
            return len(looks) > 1 or task.case > 2
        return task.phase == "validate" or task.repeat > 0

    monkeypatch.setattr(Player, "passes", passes)
    monkeypatch.setattr("agentgym.training.loop.versions.VALIDATE_AFTER", 1)
    monkeypatch.setattr("agentgym.training.loop.versions.NEAR", 1.0)
    training = made.training(updates=9, certified=True, episodes=100, target=0.95)
    result = training.run()
    said = [text for text in made.observer.said if text.startswith("look")]
    assert said == [
        "look 1 at held-out cases, at 97.75 % confidence: at least 91.3%, 95 % is not "
        "certified",
        "look 2 at held-out cases, at 99.25 % confidence: at least 95.2%, 95 % is "
        "certified",
    ]
    assert result.reason == "the target was certified"
    assert (result.met, result.looks, result.gate) == (True, 2, "certified")
    assert result.at_least == pytest.approx(0.0075 ** (1 / 100))
    assert result.next_confidence == pytest.approx(1 - 0.045 / 12)
    assert result.difference["cases"] == 100


def test_a_measured_share_alone_is_no_certificate(made, monkeypatch):
    def passes(task):
        return task.repeat > 0 if task.phase == "train" else task.case != 7

    monkeypatch.setattr(Player, "passes", passes)
    training = made.training(updates=1, certified=True, episodes=100, target=0.95)
    result = training.run()
    assert "before" not in result.reason
    assert (result.met, result.judgeable) == (False, True)
    assert result.after["value"] == 0.99
    assert result.at_least < 0.95


def test_what_is_certain_before_needs_no_training(made, monkeypatch):
    monkeypatch.setattr(Player, "passes", lambda task: True)
    training = made.training(certified=True, episodes=104, target=0.95)
    result = training.run()
    assert result.reason == "the target was certified before training"
    assert (result.met, result.updates, result.looks) == (True, 0, 0)
    assert result.at_least >= 0.95


@pytest.mark.parametrize(
    ("episodes", "target", "sentence"),
    [
        (73, 0.95, "73 held-out episodes, and 74 that all pass .*-episodes 74 or more"),
        (4, 1.0, "no number of episodes certifies 100%"),
    ],
)
def test_too_few_episodes_for_a_certificate(made, episodes, target, sentence):
    with pytest.raises(UsageError, match=sentence):
        made.training(certified=True, episodes=episodes, target=target)
    assert made.observer.phases == []


def test_an_interrupted_training_goes_on_where_it_was(made, monkeypatch):
    monkeypatch.setattr(Player, "calls_until_stop", 3)
    first = made.training()
    result = first.run()
    assert (result.interrupted, result.updates, result.agent) == (True, 1, None)
    assert result.reason == "it was interrupted"
    monkeypatch.setattr(Player, "calls_until_stop", 100)
    result = made.training().run()
    assert made.observer.said == ["resumed after 1 updates and 8 episodes"]
    assert (result.updates, result.interrupted) == (2, False)
    assert [row["update"] for row in made.updates] == [1, 2]
    # The measurement before training was complete.
    assert len([p for p in made.observer.phases if p == "before"]) == 1
    lines = (made.run_folder / "measured.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["phase"] == "before" for line in lines) == 4


def test_signs_of_reward_hacking_are_said_once_and_kept(made, monkeypatch):
    def traits(task):
        """It soon calls nothing any more."""
        idle = task.phase == "after" or (task.phase == "train" and task.case > 2)
        did = "" if idle else f"look {task.case}"
        return Traits(calls=not idle, did=did, said="Done.", reply=5, written=5)

    monkeypatch.setattr(Player, "traits", traits)
    monkeypatch.setattr(Player, "calls_until_stop", 9)
    first = made.training(updates=20, episodes=16).run()
    assert first.interrupted
    at = first.updates
    monkeypatch.setattr(Player, "calls_until_stop", 100)
    result = made.training(updates=20, episodes=16).run()
    (sign,) = result.signs
    assert (sign["kind"], sign["scenario"]) == ("no_call", "test_it.py::test_it")
    assert sign["sentence"].startswith(
        "8 of 8 passed held-out episodes after training made no tool call; before "
        "training 0 of 8 passed ones: add a check"
    )
    # It was there while it trained, of episodes of both sessions.
    assert at < sign["since"] < 20
    lines = [[each["since"] for each in row["signs"]] for row in made.updates]
    assert lines == [
        [sign["since"]] if number >= sign["since"] else [] for number in range(1, 21)
    ]
    (said,) = [text for text in made.observer.said if text.startswith("sign of rew")]
    assert said.startswith("sign of reward hacking: test_it.py::test_it: ")
    assert "passed latest train episodes made no tool call; before" in said
    about = json.loads((result.agent / "agent.json").read_text())
    assert about["signs"] == result.to_json()["signs"] == result.signs


def test_a_token_to_train_is_missing_after_an_update(made, monkeypatch):
    """What was learned before is measured and saved."""
    training = made.training(updates=9)
    collect, seen = training._collector.collect, []

    def untrained(version):
        collected = collect(version)
        seen.append(version)
        if len(seen) > 1:
            for group in collected.groups:
                for sample in group:
                    sample.trained = ()
        return collected

    monkeypatch.setattr(training._collector, "collect", untrained)
    result = training.run()
    assert result.updates == 1
    assert result.reason.startswith("the batch has no token to train")
    assert result.agent is not None


class KilledError(BaseException):
    """Stands for the kill of this process: what is on the disk stays as it is."""


KILLS = {
    "in an update": (Updater, "update", 1),
    "before an update is kept": (Journal, "write", 1),
    "while an update is kept": (Checkpoint, "save", 2),
    "before an update is served": (Host, "publish", 2),
    "while it is validated": (Evaluator, "validate", 1),
    "when it was validated": (Versions, "_measure_good", 1),
    "in a measurement before": (MeasuredEpisodes, "write", 2),
    "in a measurement after": (MeasuredEpisodes, "write", 6),
    "before the agent is saved": (results_of_trainings, "save_agent", 1),
    "when the agent is saved": (loop, "save_trained", 1),
}
"""A function, and at which of its calls it is killed."""


@pytest.mark.parametrize("late", [False, True], ids=["at its call", "at its end"])
@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_training_ends_as_if_nothing_had_been(made, monkeypatch, moment, late):
    def passes(task):
        return task.phase in ("validate", "after") or task.repeat > 0

    monkeypatch.setattr(Player, "passes", passes)
    monkeypatch.setattr("agentgym.training.loop.versions.VALIDATE_AFTER", 1)
    monkeypatch.setattr("agentgym.training.loop.versions.NEAR", 1.0)
    owner, name, last = KILLS[moment]
    usual, calls = getattr(owner, name), []

    def killing(*given, **named):
        calls.append(given)
        if len(calls) == last and not late:
            raise KilledError
        answer = usual(*given, **named)
        if len(calls) == last:
            raise KilledError
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killing)
        with pytest.raises(KilledError):
            made.training(updates=9).run()
    result = made.training(updates=9).run()
    assert result.reason == "the target was met"
    assert (result.met, result.version, result.looks) == (True, 1, 1)
    assert (result.before["value"], result.after["value"]) == (0.0, 1.0)
    assert [row["update"] for row in made.updates] == [1]
    assert [path.name for path in made.agents.glob("tiny/*")] == ["v1.0"]
    lines = (made.run_folder / "measured.jsonl").read_text().splitlines()
    measured = [(row["phase"], row["case"]) for row in map(json.loads, lines)]
    assert len(set(measured)) == len(measured) == 8
    assert not list(made.run_folder.rglob("*.part*"))
