"""Chooses policy versions: when one is validated, measured, and which one is best.

Versions are compared on train-side validation cases. Held-out cases are measured only
where a version does well enough there, so that choosing does not use them up.
"""

from __future__ import annotations

from agentgym.reliability.looks import share_needed
from agentgym.training.hub.host import PolicyHost
from agentgym.training.loop import sentences
from agentgym.training.loop.evaluator import Evaluator
from agentgym.training.loop.forecast import END, Forecast
from agentgym.training.loop.measurement import Measurement
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.session import TrainingSession

VALIDATE_EVERY = 16
"""Updates after which a version is validated in any case."""
VALIDATE_AFTER = 3
"""Updates between validations while the target seems near."""
NEAR = 0.03
"""The target seems near where the running reliability is at most so much below the
validation threshold."""
BEST_VALIDATION = 0.99
"""What a certificate asks of a validation at most, which has few episodes itself."""
MARGIN = 0.2
"""A version is measured on held-out cases when its validation is above the target by
this share of what is left to 1, and more after each time that it was not enough."""


class Versions:
    """The versions of one training.

    Args:
        target: The reliability to reach.
        certified: Whether it must be certain.
        minutes: The budget.
        session: What was validated and measured so far; it is kept after each of both.
        evaluator: Plays validation and held-out cases.
        host: Publishes versions, and keeps the adapters of the best and the newest.
        observer: Is told of validations.

    Attributes:
        after: The last measurement on held-out cases after the one before training;
            empty if there was none yet.
    """

    def __init__(
        self,
        target: float,
        *,
        certified: bool = False,
        minutes: float,
        session: TrainingSession,
        evaluator: Evaluator,
        host: PolicyHost,
        observer: Observer,
    ) -> None:
        self._target = target
        self._certified = certified
        self._minutes = minutes
        self._session = session
        self._evaluator = evaluator
        self._host = host
        self._observer = observer
        looked = session.state.looked
        self.after = evaluator.known("after", looked[-1]) if looked else Measurement()

    @property
    def validation_threshold(self) -> float:
        """What a validation must reach for a measurement on held-out cases."""
        look = len(self._session.state.looked) + 1
        wanted = 1 - (1 - self._target) * (1 - MARGIN) ** look
        if not self._certified:
            return wanted
        # Each look costs confidence: it is taken where it is likely to be enough.
        needed = share_needed(self._evaluator.episodes, self._target, look) or 1.0
        return max(wanted, min(needed, BEST_VALIDATION))

    @property
    def _can_certify(self) -> bool:
        """Whether one more look could be enough, if that must be certain."""
        look = len(self._session.state.looked) + 1
        needed = share_needed(self._evaluator.episodes, self._target, look)
        return not self._certified or needed is not None

    def enough(self, measurement: Measurement, look: int) -> bool:
        """Whether a measurement reaches the target, or does so for certain.

        Args:
            measurement: Of held-out cases.
            look: 0 before training, then 1, 2, ...
        """
        if self._certified:
            return measurement.certifies(self._target, look)
        return measurement.reaches(self._target)

    @property
    def target_met(self) -> bool:
        """Whether the last look at held-out cases was enough."""
        return self.enough(self.after, len(self._session.state.looked))

    @property
    def near_target(self) -> bool:
        """Whether the running reliability suggests that the target is near."""
        reliability = self._session.curriculum.reliability
        return reliability >= self.validation_threshold - NEAR

    @property
    def validation_due(self) -> bool:
        """Whether enough updates were made since the last validation."""
        state = self._session.state
        since = state.version - max(state.validated, default=0)
        return since >= (VALIDATE_AFTER if self.near_target else VALIDATE_EVERY)

    def measure_before(self) -> Measurement:
        """Measures the policy as it was before anything was learned.

        Raises:
            TrainingStopped: The training is to end early.
            UsageError: Too few episodes count to judge it.
        """
        session, state = self._session, self._session.state
        known = self._evaluator.complete("before", 0)
        self._host.publish(state.version if known else 0)
        begun = session.elapsed
        forecast = Forecast(
            self._minutes,
            self._evaluator.episodes,
            begun=begun,
            say=self._observer.say,
        )
        before = self._evaluator.measure(
            "before", 0, on_episode=lambda: forecast.finished(session.elapsed)
        )
        if not state.version:
            state.reserve = END * (session.elapsed - begun)
        if not before.judgeable:
            raise sentences.too_few_count(before)
        return before

    def keep_adapters(self) -> None:
        """Removes the adapters of all versions but the first, best and newest."""
        state = self._session.state
        self._host.keep_only({0, state.version, state.best})

    def validate(self) -> bool:
        """Validates the newest version; if it does well, measures held-out cases.

        Returns:
            Whether it was measured and reaches the target.
        """
        state = self._session.state
        validation = self._evaluator.validate()
        threshold, value = self.validation_threshold, validation.value or 0.0
        state.validated[state.version] = value
        self._session.keep()
        self.keep_adapters()
        self._observer.say(sentences.validated(state.version, validation, threshold))
        return validation.judgeable and self._measure_good()

    def catch_up(self) -> bool:
        """Goes on where an earlier session was killed after its last update.

        Returns:
            Whether the newest version was measured and reaches the target.
        """
        state = self._session.state
        if state.version not in state.validated:
            return self.validation_due and self.validate()
        if state.version in state.looked:
            return state.looked[-1] == state.version and self.target_met
        return self._measure_good()

    def _measure_good(self) -> bool:
        """Measures the newest version on held-out cases if it did well in validation.

        Returns:
            Whether it reaches the target.
        """
        state = self._session.state
        well = state.validated[state.version] >= self.validation_threshold
        if not well or not self._can_certify:
            return False
        self._measure(state.version)
        return self.target_met

    def measure_best(self) -> None:
        """Measures the best version, unless that was the last thing done."""
        state = self._session.state
        if state.looked and state.looked[-1] == state.version:
            return
        if state.validated and state.version not in state.validated:
            # The newest version has not been compared with the others.
            self.validate()
        if not state.looked or state.looked[-1] != state.best:
            self._host.publish(state.best)
            self._measure(state.best)

    def _measure(self, version: int) -> None:
        """Measures a version, which is the published one, on held-out cases."""
        self.after = self._evaluator.measure("after", version)
        state = self._session.state
        state.looked.append(version)
        self._session.keep()
        if self._certified:
            look = len(state.looked)
            self._observer.say(sentences.looked(look, self.after, self._target))
