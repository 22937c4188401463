"""Evaluates a policy version, on validation cases or on the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentgym.training.hub.player import Player
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.case_split import held_out_tasks, validation_tasks
from agentgym.training.job.task import Phase, ScenarioInfo
from agentgym.training.loop.measurement import MeasuredEpisodes, Measurement
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.sentences import asked_nothing
from agentgym.training.loop.session import TrainingSession
from agentgym.training.signs.watch import seen_of


class Evaluator:
    """Has cases played by the published version that nothing is learned from.

    What was measured on held-out cases is kept, and only what lacks is played.

    Args:
        scenarios: What is trained.
        session: Counts validation episodes.
        player: Plays episodes with the version that is published.
        measured: The file of what was measured, also in an earlier session.
        observer: Follows the phases.
    """

    def __init__(
        self,
        scenarios: Sequence[ScenarioInfo],
        session: TrainingSession,
        player: Player,
        measured: MeasuredEpisodes,
        observer: Observer,
    ) -> None:
        self._scenarios = scenarios
        self._session = session
        self._player = player
        self._measured = measured
        self._observer = observer

    @property
    def episodes(self) -> int:
        """Held-out episodes of a measurement."""
        return len(held_out_tasks(self._scenarios, "after"))

    def validate(self) -> Measurement:
        """Plays validation cases: others after each validation of a training."""
        number = len(self._session.state.validated)
        tasks = validation_tasks(self._scenarios, number)
        validation = Measurement()
        self._observer.phase("validate", len(tasks))
        results = self._player.play(tasks, self._session.count_episode)
        for result in results:
            if not result.skipped:
                validation.add(result.task, result.outcome)
        self._session.watch.validated(results)
        return validation

    def known(self, phase: Phase, version: int) -> Measurement:
        """What is known already of a measurement on held-out cases.

        Args:
            phase: "before" or "after".
            version: The policy version that is measured.
        """
        known = self._measured.read(phase, version)
        self._session.watch.measured(phase, known.played)
        return known

    def complete(self, phase: Phase, version: int) -> bool:
        """Whether all episodes of a measurement are known already.

        Args:
            phase: "before" or "after".
            version: The policy version that is measured.
        """
        known = self.known(phase, version).outcomes
        return len(known) >= len(held_out_tasks(self._scenarios, phase))

    def measure(
        self,
        phase: Phase,
        version: int,
        *,
        on_episode: Callable[[], None] = lambda: None,
    ) -> Measurement:
        """Plays the held-out episodes of a measurement that are not known yet.

        Args:
            phase: "before" or "after".
            version: The policy version, which must be the published one.
            on_episode: Called after each episode.

        Raises:
            TrainingStopped: The training is to end early.
            UsageError: No episode asked the policy for anything.
        """
        measurement = self.known(phase, version)
        tasks = [
            task
            for task in held_out_tasks(self._scenarios, phase)
            if (task.scenario, task.case, task.repeat) not in measurement.outcomes
        ]
        calls = counted = 0

        def on_result(result: RolloutResult) -> None:
            nonlocal calls, counted
            calls += len(result.calls)
            counted += result.outcome.counts
            if not result.skipped:
                measurement.add(result.task, result.outcome, seen_of(result))
                self._measured.write(result, version)
            on_episode()

        new = not measurement.outcomes
        self._observer.phase(phase, len(tasks))
        if new:
            # An agent that pays another model shall not do so for all episodes.
            firsts = {task.scenario: task for task in reversed(tasks)}
            for task in reversed(firsts.values()):
                if not calls:
                    self._player.play([task], on_result)
                    tasks.remove(task)
            if counted and not calls:
                raise asked_nothing()
        if tasks:
            self._player.play(tasks, on_result)
        if new and not calls:
            raise asked_nothing()
        self._session.watch.measured(phase, measurement.played)
        return measurement
