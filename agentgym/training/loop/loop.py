"""The training loop: collect, batch, update, publish, validate.

Each batch is played to its end by one policy version, and updates that very version:
the first pass over it needs neither clipping nor importance weights. Versions are
compared on train-side validation cases; held-out cases are measured before, and when a
version does well enough in validation. Nothing here knows who plays: runners claim what
is queued.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from agentgym.errors import UsageError
from agentgym.policy.folders.weights_digest import adapter_digest
from agentgym.runs.files.updates import UpdateLine
from agentgym.runs.summary_json import SignJson
from agentgym.training.batch.batch import BatchRow, make_batch, trained_tokens
from agentgym.training.batch.collector import Collected, Collector
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.player import Player, TrainingStopped
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.training_result import TrainingResult
from agentgym.training.loop import sentences
from agentgym.training.loop.checkpoint import room_for_files
from agentgym.training.loop.journal import Journal, update_line
from agentgym.training.loop.measurement import Measurement
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.result import make_result, save_trained
from agentgym.training.loop.session import TrainingSession
from agentgym.training.loop.versions import Versions

if TYPE_CHECKING:
    # It imports torch, which takes seconds: the policy server is started before.
    from agentgym.training.step.update import Updater

HOPELESS_BATCHES = 3
"""Batches in a row of zero-variance groups only that end a training."""


class Training:
    """One training, from its first measurement to the saved agent.

    `make_training` makes the parts.

    Args:
        plan: What is trained, and on what.
        session: How far it is, and where that is kept.
        collector: Plays groups of episodes.
        updater: The policy with its LoRA weights and their optimizer.
        host: Serves policy versions.
        player: Has episodes played.
        versions: Validates and measures versions, and chooses the best.
        observer: Follows the training.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        *,
        session: TrainingSession,
        collector: Collector,
        updater: Updater,
        host: PolicyHost,
        player: Player,
        versions: Versions,
        observer: Observer,
    ) -> None:
        self.plan = plan
        self._session = session
        self._state = session.state
        self._collector = collector
        self._updater = updater
        self._host = host
        self._player = player
        self._versions = versions
        self._observer = observer
        self._tool_calls = 0
        self._said: set[tuple[str, str | None]] = set()

    def run(self) -> TrainingResult:
        """Trains; blocks until the end.

        Raises:
            UsageError: Something that the user can mend; the last good version is kept.
        """
        before = Measurement()
        try:
            with room_for_files(self.plan.run_folder):
                before = self._versions.measure_before()
                return self._result(before, self._train(before))
        except TrainingStopped:
            return self._interrupted(before)
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

    def _train(self, before: Measurement) -> str:
        """Trains until the end, and measures the best version; returns why it ended."""
        state = self._state
        if self._versions.enough(before, 0) and not state.version:
            return sentences.met_before(certified=self.plan.certified)
        if self._host.version != state.version:
            self._host.publish(state.version)
        if state.version and self._versions.catch_up():
            return self._target_met()
        with closing(Journal(self.plan.run_folder, state.version)) as journal:
            reason = self._loop(journal)
        if not state.version:
            return reason
        self._versions.measure_best()
        return self._target_met() if self._versions.target_met else reason

    def _target_met(self) -> str:
        return sentences.target_met(certified=self.plan.certified)

    def _loop(self, journal: Journal) -> str:
        """Updates the policy until the target is met, or the budget is used up."""
        while (spent := self._spent()) is None:
            collected = self._collect()
            batch = self._batch(collected)
            if collected.groups and not trained_tokens(batch):
                return self._nothing_trained(batch)
            if batch:
                line = self._update(batch, collected)
                self._publish(line, journal)
                self._observer.update(line)
            if self._validate(updated=bool(batch)):
                return self._target_met()
            if self._state.zero_variance_batches >= HOPELESS_BATCHES:
                return self._nothing_to_learn()
        return spent

    def _spent(self) -> str | None:
        """Why there is no room for another update; None if there is."""
        config, state = self.plan.config, self._state
        if state.version >= config.updates:
            return sentences.updates_made(config.updates)
        if self._session.elapsed + state.reserve > 60 * config.minutes:
            return sentences.time_used_up(
                config.minutes, measuring=state.reserve, updates=state.version
            )
        return None

    def _collect(self) -> Collected:
        """Plays groups of episodes with the present version."""
        config = self.plan.config
        self._observer.phase("train", config.groups * config.group_size)
        collected = self._collector.collect(self._state.version)
        if collected.played and not any(sample.calls for sample in collected.played):
            raise sentences.asked_nothing()
        self._tool_calls += sum(sample.tool_calls for sample in collected.played)
        self._session.watch.trained(collected.fresh, self._state.version)
        return collected

    def _batch(self, collected: Collected) -> list[BatchRow]:
        """The rows to learn from; none where all groups have zero variance."""
        config, state = self.plan.config, self._state
        state.zero_variance_batches += 1
        if collected.groups:
            state.zero_variance_batches = 0
        return make_batch(
            collected.groups,
            advantage=config.advantage,
            reward=config.reward,
            token_mean=config.token_mean,
            version=state.version,
        )

    def _update(self, batch: list[BatchRow], collected: Collected) -> UpdateLine:
        """Takes a step on the batch; returns its line of `updates.jsonl`."""
        version = self._state.version + 1
        with self._host.resting():
            metrics = self._updater.update(
                batch, episodes=len(collected.played), scale=self._step_scale()
            )
            self._updater.free_memory()
        self._host.write(version, self._updater.save_adapter)
        return update_line(
            collected,
            metrics,
            adapter=adapter_digest(self._host.adapter(version)),
            session=self._session,
            reliability=self._session.curriculum.reliability,
            refuses_stale=self.plan.config.stale == "refuse",
            signs=self._signs(self._state.version + 1),
        )

    def _signs(self, update: int) -> list[SignJson]:
        """The signs of reward hacking that there are; says those that are new."""
        signs = self._session.watch.signs(update)
        for sign in signs:
            if (sign["kind"], sign["scenario"]) not in self._said:
                self._said.add((sign["kind"], sign["scenario"]))
                self._observer.say(sentences.hacked(sign))
        return signs

    def _publish(self, line: UpdateLine, journal: Journal) -> None:
        """The updated policy becomes the next version.

        Args:
            line: What is written of the update.
            journal: Gets it.
        """
        state, version = self._state, self._state.version + 1
        # Before the state: a journal drops what was not saved, and misses nothing.
        journal.write(line)
        self._session.curriculum.updated()
        state.version = version
        self._session.keep(self._updater.state())
        self._host.publish(version)
        self._versions.keep_adapters()

    def _validate(self, *, updated: bool) -> bool:
        """Validates the version if it is time for that; True if the target is met."""
        versions = self._versions
        if not updated and not versions.near_target:
            return False
        return versions.validation_due and versions.validate()

    def _step_scale(self) -> float:
        """Share of the learning rate: the fewer failures are left, the smaller steps.

        Near the target, steps as large as at first undo about as much as they gain.
        """
        state, failing = self._state, 1 - self._session.curriculum.reliability
        state.failing = state.failing or failing
        return float(min(1.0, max(failing / max(state.failing, 0.01), 0.01) ** 0.5))

    def _nothing_trained(self, batch: list[BatchRow]) -> str:
        """Why no token of a batch is trained; an error if no token ever was."""
        reason = sentences.nothing_trained(batch, self.plan)
        if not self._state.version:
            raise UsageError(reason)
        return reason

    def _nothing_to_learn(self) -> str:
        """Why no group's rewards differ; an error if nothing was ever learned."""
        if self._state.version or self._versions.near_target:
            return sentences.zero_variance(self._state)
        raise sentences.never_vary(
            self._state, self._session.curriculum, tool_calls=self._tool_calls
        )

    def _interrupted(self, before: Measurement) -> TrainingResult:
        self._session.count_time()
        return make_result(
            self.plan,
            self._state,
            before,
            None,
            reason=sentences.INTERRUPTED,
            interrupted=True,
            never_passed=self._session.curriculum.never_passed,
            signs=self._signs(self._state.version),
        )

    def _result(self, before: Measurement, reason: str) -> TrainingResult:
        """The result; saves the agent, if a trained version was measured."""
        self._session.count_time()
        state, after = self._state, self._versions.after
        trained = bool(after.outcomes)
        result = make_result(
            self.plan,
            state,
            before,
            after if trained else None,
            reason=reason,
            never_passed=self._session.curriculum.never_passed,
            signs=self._signs(state.version),
        )
        if not trained:
            return result
        adapter = self._host.adapter(result.version)
        return save_trained(self.plan, state, result, adapter)
