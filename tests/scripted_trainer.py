"""A pytest plugin: a trainer that learns by script, on a real hub with real runners.

It plays the phases that `trainer.json` in the project says on a scripted model, and
writes down in `trainer-log.json` what came of every rollout.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import types
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentgym.errors import UsageError
from agentgym.testing import Reply, ScriptedModel, call, error, say
from agentgym.training.job.task import Task
from agentgym.training.loop.measurement import MeasuredEpisodes

PHASES = [["before", "held_out", 4], ["train", "train", 6], ["after", "held_out", 4]]


@dataclass
class TrainingResult:
    data: dict[str, Any]
    met: bool
    interrupted: bool
    judgeable: bool = True
    version: int = 1
    agent: Any = None
    per_passed: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {**self.data, "per_passed": self.per_passed}


@dataclass
class Training:
    plan: Any
    gateway: Any
    observer: Any
    results: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.plan.run_folder.parents[2]
        script = self.root / "trainer.json"
        self.script = json.loads(script.read_text()) if script.exists() else {}
        self.stopped = threading.Event()
        self.again: list[Task] = []
        self.measured = MeasuredEpisodes(self.plan.run_folder)
        self.learned = False

    def stop(self) -> None:
        self.stopped.set()

    def runner_lost(self, runner: str) -> None:
        for rollout in self.gateway.running():
            if rollout.runner.startswith(runner):
                self.gateway.fail(rollout.rollout_id, "infra_error: runner lost")
                assert rollout.task is not None
                self.again.append(rollout.task)

    def run(self) -> TrainingResult:
        if "usage" in self.script:
            raise UsageError(self.script["usage"])
        if "crash" in self.script:
            raise RuntimeError(self.script["crash"])
        shares = {}
        with ScriptedModel(self.answer) as model:
            self.gateway.publish(model.endpoint, model.name, 0)
            for phase, split, cases in self.script.get("phases", PHASES):
                self.learned = phase == "after"
                shares[phase] = self.play(phase, split, cases)
                if phase == "train":
                    self.observer.update({"update": 1, "reward": 0.5})
                if self.stopped.is_set():
                    break
        self.write_log()
        time.sleep(self.script.get("saving", 0))
        data = {
            "episodes": len(self.results),
            "updates": 1,
            "seconds": 1.0,
            "agent": ".agentgym/agents/x/v1.0",
            **{
                phase: {"value": share, "low": share, "high": share}
                for phase, share in shares.items()
                if phase in ("before", "after")
            },
        }
        met = list(shares.values())[-1] >= self.plan.config.target
        judgeable = self.script.get("judgeable", True)
        if "result" in self.script:
            # All that `agentgym.Trainer` reads.
            known = {"before": None, "after": None, "difference": None, "version": 1}
            known |= {"target": self.plan.config.target, "policy": "embedded"}
            known |= {"met": met, "interrupted": self.stopped.is_set(), "looks": 1}
            data = known | data | {"judgeable": judgeable, **self.script["result"]}
        return TrainingResult(data, met, self.stopped.is_set(), judgeable)

    def play(self, phase: str, split: Any, cases: int) -> float:
        tasks = [
            Task(scenario=s.scenario, split=split, case=case, phase=phase)
            for s in self.plan.scenarios
            for case in range(cases)
        ]
        self.observer.phase(phase, len(tasks))
        waiting = self.enqueue(tasks)
        passed = counted = 0
        while waiting and not self.stopped.is_set():
            for ended in self.gateway.finished():
                waiting.discard(ended.rollout_id)
                result = self.gateway.result(ended.rollout_id)
                self.results.append(result)
                if phase in ("before", "after"):
                    self.measured.write(result, int(phase == "after"))
                passed += result.outcome == "passed"
                counted += result.reward is not None
            again, self.again = self.again, []
            waiting |= self.enqueue(again)
            time.sleep(0.02)
        return passed / counted if counted else 0.0

    def enqueue(self, tasks: list[Task]) -> set[str]:
        made = {uuid.uuid4().hex: task for task in tasks}
        self.gateway.enqueue(made, timeout=60)
        return set(made)

    def answer(self, request: dict[str, Any]) -> Reply | str:
        """Looks up the order that the user names; before it has learned, another one.

        `ok` in the message: it can do this already; `never`: it will never; `down`: it
        does not answer.
        """
        text = str(request["messages"][0]["content"])
        if "down" in text:
            return error(503)
        if any(message["role"] == "assistant" for message in request["messages"]):
            return say("done")
        right = (self.learned or "ok" in text) and "never" not in text
        return call("look_up", order="7" if right else "8")

    def write_log(self) -> None:
        log = {
            "plan": {
                "scenarios": [s.to_json() for s in self.plan.scenarios],
                "name": self.plan.name,
                "seed": self.plan.seed,
                "base": str(self.plan.base),
                "timeout": self.plan.timeout,
                "run_folder": str(self.plan.run_folder),
                "config": self.plan.config.model_dump(mode="json", exclude_unset=True),
            },
            "results": [
                {
                    "id": result.rollout_id,
                    "task": result.task.to_json(),
                    "outcome": result.outcome,
                    "reward": result.reward,
                    "steps": result.steps,
                    "error": result.error,
                    "calls": len(result.calls),
                    "traits": None
                    if result.traits is None
                    else result.traits.to_json(),
                }
                for result in self.results
            ],
        }
        (self.root / "trainer-log.json").write_text(json.dumps(log))


def _make(plan: Any, gateway: Any, observer: Any, *, stopped: Any) -> Training:
    return Training(plan, gateway, observer)


def pytest_configure(config: pytest.Config) -> None:
    module = types.ModuleType("agentgym.training.loop.assembly")
    module.make_training = _make  # type: ignore[attr-defined]
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module

    def restore() -> None:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before

    config.add_cleanup(restore)
