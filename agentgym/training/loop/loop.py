"""The training loop: measure, then play, learn and publish until the target is met.

Each batch is played to its end by one policy version, and updates that very version: no
clipping is needed for the first pass over it. Versions are compared on train-side
validation cases; held-out cases are looked at before, and when a version does well
enough in validation. Nothing here knows who plays: runners claim what is queued.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from agentgym.errors import UsageError
from agentgym.policy.trained.agent_folder import save_agent
from agentgym.training.batch.batch import make_batch
from agentgym.training.batch.collector import Collected, Collector
from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.batch.measurement import (
    Measured,
    Measurement,
    held_out_tasks,
    training_cases,
    validation_tasks,
)
from agentgym.training.batch.segments import Component, TokenBytes, segment
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.player import COUNTED, Player, Stopped
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.task import Phase, ScenarioInfo, Task
from agentgym.training.job.training_result import TrainingResult
from agentgym.training.loop.checkpoint import Checkpoint, State, no_room
from agentgym.training.loop.journal import Journal

VALIDATE_EVERY = 16
"""Updates after which a version is validated in any case."""
VALIDATE_AFTER = 3
"""Updates between validations while the target seems near."""
MARGIN = 0.2
"""A version is measured on held-out cases when its validation is above the target by
this share of what is left to 1, and more after each time that it was not enough."""
HOPELESS_BATCHES = 3
"""Batches in a row without anything to learn from that end a training."""
ROLLOUT_TRIES = 4
"""A rollout is given up after the time limits of so many tries at its episode."""

__all__ = ["Observer", "Training", "TrainingResult"]


class Observer(Protocol):
    """Is told how a training goes, in the trainer's thread."""

    def phase(self, phase: Phase, planned: int) -> None:
        """A phase of so many planned episodes begins."""

    def update(self, row: dict[str, Any]) -> None:
        """The policy was updated; `row` is a line of `updates.jsonl`."""

    def say(self, text: str) -> None:
        """Something worth a line."""


class Training:
    """One training, from its first measurement to the saved agent.

    Args:
        plan: What is trained, and on what.
        gateway: Where rollouts are queued.
        observer: Is told how it goes.
    """

    def __init__(
        self, plan: TrainingPlan, gateway: Gateway, observer: Observer
    ) -> None:
        self.plan = plan
        self._observer = observer
        self._began = time.monotonic()
        self._folder = plan.run_folder / "training"
        self._measured = Measured(plan.run_folder / "measured.jsonl")
        self._checkpoint = Checkpoint(self._folder)
        self._host = PolicyHost(
            plan.base,
            self._folder / "versions",
            gateway,
            log=plan.run_folder / "policy.log",
            device=plan.config.device,
            dtype=plan.config.dtype,
        )
        self._player = Player(
            gateway, self._host, plan.timeout * ROLLOUT_TRIES + 60, observer.say
        )
        self._state = State()
        self._before = Measurement()
        self._after = Measurement()
        self._tool_calls = 0

    def run(self) -> TrainingResult:
        """Trains; blocks until the end.

        Raises:
            UsageError: Something that the user can mend; the last good version is kept.
        """
        self._check_cases()
        try:
            reason = self._run()
            return self._result(reason, interrupted=False)
        except Stopped:
            return self._result("it was interrupted", interrupted=True)
        except Exception as error:
            told = no_room(error, self.plan.run_folder)
            if told is None:
                raise
            raise told from error
        finally:
            self._host.close()

    def stop(self) -> None:
        """Ends the training soon, from another thread; it can be resumed."""
        self._player.stop()

    def runner_lost(self, runner: str) -> None:
        """A runner died; what it played is played again.

        Args:
            runner: Its name, or how that begins.
        """
        self._player.runner_lost(runner)

    # The way through.

    def _run(self) -> str:
        """Everything; returns why it ended."""
        config = self.plan.config
        self._host.start()
        self._prepare(self._checkpoint.load())
        if self._state.version == 0:
            self._host.write(0, self._updater.save_adapter)
        # The policy is measured as it was before anything was learnt.
        self._host.publish(0 if self._begin_anew() else self._state.version)
        self._measure_before()
        if self._before.reaches(config.target) and not self._state.version:
            return "the target was met before training"
        if self._host.version != self._state.version:
            self._host.publish(self._state.version)
        self._journal = Journal(self.plan.run_folder, self._state.version)
        try:
            reason = self._learn()
        finally:
            self._journal.close()
        return self._finish(reason)

    def _begin_anew(self) -> bool:
        """Whether the measurement before training is not complete yet."""
        known = self._measured.read("before", 0).outcomes
        return len(known) < len(held_out_tasks(self.plan.scenarios, "before"))

    def _prepare(self, kept: Any) -> None:
        # Heavy: the server imports the same at the same time.
        from agentgym.policy.engine.loading import load
        from agentgym.training.step.update import Updater

        plan, config = self.plan, self.plan.config
        policy = load(plan.base, config.device, config.dtype)
        pieces = TokenBytes(policy.tokenizer)

        def components(ids: Sequence[int]) -> list[Component]:
            return segment(pieces(ids), ended=ids[-1] in policy.stop_ids)

        self._updater = Updater(policy, config, seed=plan.seed, adapter=plan.adapter)
        trainable = [i.scenario for i in plan.scenarios if training_cases(i) != 0]
        self._curriculum = Curriculum(
            trainable, seed=plan.seed, adaptive=config.adaptive_cases
        )
        if kept is not None:
            self._state, tensors = kept
            self._updater.restore(tensors)
            self._curriculum.restore(self._state.curriculum)
            if self._state.looked:
                self._after = self._measured.read("after", self._state.looked[-1])
            if not self._host.adapter(self._state.version).exists():
                self._host.write(self._state.version, self._updater.save_adapter)
            self._observer.say(
                f"resumed after {self._state.version} updates and "
                f"{self._state.episodes} episodes"
            )
        else:
            self._keep(self._updater.state())
        self._collector = Collector(
            plan.scenarios, config, self._curriculum, components, self._play_counted
        )

    def _measure_before(self) -> None:
        begun = time.monotonic()
        self._before = self._measure("before", version=0)
        if not self._state.version:
            self._state.reserve = 1.1 * (time.monotonic() - begun)
        if not self._before.judgeable:
            raise UsageError(
                f"only {self._before.counted} of {len(self._before.outcomes)} episodes "
                "count before training: too few to compare anything with"
            )

    def _learn(self) -> str:
        """Updates the policy until the target, or the end of the budget."""
        config, state = self.plan.config, self._state
        while True:
            if state.version >= config.updates:
                return f"all {config.updates} updates were made"
            if self._elapsed() + state.reserve > 60 * config.minutes:
                return f"the budget of {config.minutes:g} minutes was used up"
            learnt = self._batch() or self._promising()
            if learnt and self._due() and self._good_enough():
                return "the target was met"
            if state.batches >= HOPELESS_BATCHES:
                return self._nothing_to_learn()

    def _batch(self) -> bool:
        """Plays a batch and learns from it; False if there was nothing to learn."""
        config, state = self.plan.config, self._state
        self._observer.phase("train", config.groups * config.group_size)
        begun = time.monotonic()
        found = self._collector.collect(state.version)
        played = time.monotonic() - begun
        self._check_calls(found)
        self._tool_calls += sum(sample.tool_calls for sample in found.played)
        if not found.groups:
            state.batches += 1
            return False
        state.batches = 0
        batch = make_batch(
            found.groups,
            advantage=config.advantage,
            reward=config.reward,
            token_mean=config.token_mean,
            version=state.version,
        )
        metrics = self._updater.update(
            batch, episodes=len(found.played), scale=self._annealed()
        )
        row = self._row(found, played)
        row |= {name: getattr(metrics, name) for name in metrics.__slots__}
        self._advance()
        self._journal.write(row)
        self._observer.update(row)
        return True

    def _annealed(self) -> float:
        """Share of the learning rate: the fewer failures are left, the smaller steps.

        Near the target, steps as large as at first undo about as much as they teach.
        """
        state, failing = self._state, 1 - self._curriculum.reliability
        state.failing = state.failing or failing
        return float(min(1.0, max(failing / max(state.failing, 0.01), 0.01) ** 0.5))

    def _advance(self) -> None:
        """The updated policy becomes the next version."""
        state, version = self._state, self._state.version + 1
        self._host.write(version, self._updater.save_adapter)
        self._curriculum.updated()
        state.version = version
        self._keep(self._updater.state())
        self._host.publish(version)
        self._host.keep_only({0, version, state.best})

    def _keep(self, tensors: Any = None) -> None:
        state = self._state
        state.curriculum = self._curriculum.state()
        now = time.monotonic()
        state.seconds += now - self._began
        self._began = now
        self._checkpoint.save(state, tensors)

    # Choosing versions.

    def _promising(self) -> bool:
        """Whether the episodes of late suggest that the target is near."""
        return self._curriculum.reliability >= self._bar() - 0.03

    def _due(self) -> bool:
        since = self._state.version - max(self._state.validated, default=0)
        return since >= (VALIDATE_AFTER if self._promising() else VALIDATE_EVERY)

    def _bar(self) -> float:
        """What a validation must reach for a look at held-out cases."""
        target, looks = self.plan.config.target, len(self._state.looked)
        return 1 - (1 - target) * (1 - MARGIN) ** (looks + 1)

    def _good_enough(self) -> bool:
        """Validates this version and, if it does well, measures held-out cases."""
        state, target = self._state, self.plan.config.target
        tasks = validation_tasks(self.plan.scenarios, len(state.validated))
        self._observer.phase("validate", len(tasks))
        found = Measurement()
        for result in self._player.play(tasks, self._count):
            found.add(result.task, result.outcome)
        value = found.value or 0.0
        state.validated[state.version] = value
        self._keep()
        self._host.keep_only({0, state.version, state.best})
        self._observer.say(
            f"version {state.version}: {value:.1%} on {found.counted} validation "
            f"episodes (bar {self._bar():.1%})"
        )
        if not found.judgeable or value < self._bar():
            return False
        self._after = self._measure("after", state.version)
        state.looked.append(state.version)
        self._keep()
        return self._after.reaches(target)

    def _finish(self, reason: str) -> str:
        """Measures the best version, unless that was the last thing done."""
        state = self._state
        if not state.version:
            return reason
        if not (state.looked and state.looked[-1] == state.version):
            if state.version not in state.validated and state.validated:
                # The newest version has not been compared with the others.
                self._good_enough()
            best = state.best
            if best not in state.looked or state.looked[-1] != best:
                self._host.publish(best)
                self._after = self._measure("after", best)
                state.looked.append(best)
                self._keep()
        if self._after.reaches(self.plan.config.target):
            return "the target was met"
        return reason

    # Playing.

    def _measure(self, phase: Phase, version: int) -> Measurement:
        """Plays the held-out episodes that are not known yet."""
        found = self._measured.read(phase, version)
        tasks = [
            task
            for task in held_out_tasks(self.plan.scenarios, phase)
            if (task.scenario, task.case, task.repeat) not in found.outcomes
        ]
        calls = 0

        def on_result(result: RolloutResult) -> None:
            nonlocal calls
            calls += len(result.calls)
            found.add(result.task, result.outcome)
            self._measured.write(result, version)

        self._observer.phase(phase, len(tasks))
        if tasks:
            self._player.play(tasks, on_result)
            if not calls:
                self._no_calls()
        return found

    def _play_counted(self, tasks: list[Task]) -> list[RolloutResult]:
        return self._player.play(tasks, self._count)

    def _count(self, result: RolloutResult) -> None:
        state, scenario = self._state, result.task.scenario
        state.episodes += result.outcome in COUNTED
        if result.judged_by:
            known = {*state.judged.get(scenario, ()), *result.judged_by}
            state.judged[scenario] = sorted(known)

    def _elapsed(self) -> float:
        return self._state.seconds + time.monotonic() - self._began

    def _row(self, found: Collected, played: float) -> dict[str, Any]:
        samples = found.played
        calls = sum(s.calls for s in samples)
        rows = sum(len(s.rows) for s in samples)
        refused = found.stale if self.plan.config.stale == "refuse" else 0
        total = len(samples) + refused + found.lost
        broken = rows - sum(bool(s.rows) for s in samples)
        return {
            "update": self._state.version + 1,
            "version": self._state.version,
            "episodes": self._state.episodes,
            "elapsed": round(self._elapsed(), 1),
            "reward": _mean([s.reward for s in samples]),
            "passed": _mean([float(s.passed) for s in samples]),
            "reliability": self._curriculum.reliability,
            "groups": len(found.groups),
            "dull_groups": found.dull,
            "stale_share": found.stale / max(total, 1),
            "lost_share": found.lost / max(total, 1),
            "broken_prefixes": broken / max(calls - len(samples), 1),
            "tokens_per_episode": _mean([float(s.tokens) for s in samples]),
            "playing_seconds": round(played, 2),
        }

    # What can be wrong.

    def _check_cases(self) -> None:
        scenarios = self.plan.scenarios
        if all(training_cases(info) == 0 for info in scenarios):
            raise UsageError(
                "there are only held-out cases: give a scenario split='auto' or "
                "split='train', or list more values, so that there is something to "
                "learn from"
            )
        if all(info.held_out_cases == 0 for info in scenarios):
            raise UsageError(
                "there are only train cases: give a scenario split='auto' or "
                "split='held_out', so that there is something to judge the agent by"
            )

    def _check_calls(self, found: Collected) -> None:
        if found.played and not any(sample.calls for sample in found.played):
            self._no_calls()

    def _no_calls(self) -> None:
        raise UsageError(
            "the agent asked the policy endpoint nothing: make it with the `policy` "
            "fixture (its base_url, api_key and model); an agent whose model is a "
            "closed API can be measured, not trained"
        )

    def _nothing_to_learn(self) -> str:
        """Says why no group's rewards differ."""
        if self._state.version or self._promising():
            return (
                f"the last {HOPELESS_BATCHES} batches had nothing to teach: all "
                "episodes of a case earned the same"
            )
        records = self._curriculum.records.values()
        played = sum(record.played for record in records)
        if not self._tool_calls:
            raise UsageError(
                f"in the last {played:.0f} episodes the model made no tool call and "
                "earned nothing: start from a model that can call tools with its chat "
                "template, or give the agent's prompt an example of a call"
            )
        raise UsageError(
            f"the rewards of the last {HOPELESS_BATCHES} batches never vary: all "
            "episodes of a case earn the same, so there is nothing to learn; write "
            "checks that some episodes pass and others fail, or use a stronger model"
        )

    # The end.

    def _result(self, reason: str, *, interrupted: bool) -> TrainingResult:
        config, state = self.plan.config, self._state
        state.seconds += time.monotonic() - self._began
        self._began = time.monotonic()
        trained = bool(self._after.outcomes) and not interrupted
        last = self._after if trained else self._before
        judgeable = last.judgeable and not interrupted
        version = state.looked[-1] if trained else 0
        result = TrainingResult(
            before=self._before.to_json() if self._before.counted else None,
            after=self._after.to_json() if trained else None,
            difference=self._before.difference(self._after) if trained else None,
            target=config.target,
            met=judgeable and last.reaches(config.target),
            judgeable=judgeable,
            interrupted=interrupted,
            episodes=state.episodes,
            updates=state.version,
            seconds=state.seconds,
            policy=self.plan.base_spec,
            version=version,
            looks=len(state.looked),
            agent=None,
            reason=reason,
            never_passed=self._curriculum.never_passed,
        )
        return self._saved(result) if trained else result

    def _saved(self, result: TrainingResult) -> TrainingResult:
        plan = self.plan
        known = result.to_json()
        card = {
            "base": {"spec": "embedded" if _embedded(plan.base) else str(plan.base)},
            "scenarios": [
                {"scenario": i.scenario, "source": i.source, **self._judged(i)}
                for i in plan.scenarios
            ],
            "config": plan.config.model_dump(mode="json"),
            "seed": plan.seed,
            "run": plan.run_folder.name,
            **{
                name: known[name]
                for name in (
                    *("before", "after", "difference", "target"),
                    *("episodes", "updates", "seconds"),
                )
            },
        }
        root = plan.agents_folder.parent.parent
        agent = save_agent(root, plan.name, self._host.adapter(result.version), card)
        shutil.rmtree(self._folder, ignore_errors=True)
        return TrainingResult.from_json({**known, "agent": str(agent)})

    def _judged(self, info: ScenarioInfo) -> dict[str, list[str]]:
        """Which models took part in the rewards that were learnt from, if any did."""
        models = self._state.judged.get(info.scenario)
        return {"judged_by": models} if models else {}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _embedded(base: Path) -> bool:
    from agentgym.policy.folders.embedded import embedded_path

    return base.resolve() == embedded_path().resolve()
