"""One session of a training: how far it is, how long it took, what is kept of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.loop.checkpoint import Checkpoint, State
from agentgym.training.signs.watch import Watch

if TYPE_CHECKING:
    from torch import Tensor


class TrainingSession:
    """The state of a training that this process goes on with.

    Args:
        state: How far the training is.
        checkpoint: Where that is kept.
        curriculum: Whose state is kept with it.
        watch: Whose state is kept with it, too.
        began: When this session began, by `time.monotonic`.

    Attributes:
        state: How far the training is.
        curriculum: Draws cases, and knows the running reliability.
        watch: Looks for signs of reward hacking.
    """

    def __init__(
        self,
        state: State,
        checkpoint: Checkpoint,
        curriculum: Curriculum,
        watch: Watch,
        *,
        began: float,
    ) -> None:
        self.state = state
        self._checkpoint = checkpoint
        self.curriculum = curriculum
        self.watch = watch
        self._counted_until = began

    @property
    def elapsed(self) -> float:
        """Seconds that the training has taken, all sessions together."""
        return self.state.seconds + time.monotonic() - self._counted_until

    def count_time(self) -> None:
        """Adds the time since it was last counted to the state."""
        now = time.monotonic()
        self.state.seconds += now - self._counted_until
        self._counted_until = now

    def count_episode(self, result: RolloutResult) -> None:
        """Counts an episode for training or validation, and who judged it."""
        state, scenario = self.state, result.task.scenario
        state.episodes += result.outcome.counts
        if result.judged_by:
            known = {*state.judged.get(scenario, ()), *result.judged_by}
            state.judged[scenario] = sorted(known)

    def keep(self, tensors: dict[str, Tensor] | None = None) -> None:
        """Saves the state, and the tensors if they are new since the last time."""
        self.state.curriculum = self.curriculum.state()
        self.state.watched = self.watch.state()
        self.count_time()
        self._checkpoint.save(self.state, tensors)
