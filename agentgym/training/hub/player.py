"""Has tasks played by the runners, and waits for their results."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentgym.errors import AgentGymError, UsageError
from agentgym.scenarios.cases import draw_name
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.lookout import Lookout
from agentgym.training.hub.rollout_result import RolloutResult
from agentgym.training.job.task import Task

TICK_SECONDS = 0.05
MAX_TRIES = 3
"""Rollouts of one task whose outcome is not the agent's doing."""
HOPELESS = 16
"""After so many lost ones, more lost than not ends the training."""


class TrainingStopped(AgentGymError):
    """The training was asked to end early."""


@dataclass(slots=True)
class Player:
    """Plays batches of tasks through the gateway.

    Attributes:
        seed: Rollouts of the same seed and session have the same ids, by which their
            replies are drawn.
        session: Tells the sessions of a training apart.
        gateway: Where rollouts are queued.
        host: The policy server, which is started again if it dies.
        timeout: Seconds after which a rollout that nobody finishes is given up.
        say: Shows a line.
        stopping: Set to end early.
        lost: Rollouts whose outcome was not the agent's doing.
    """

    seed: int
    session: str
    gateway: Gateway
    host: PolicyHost
    timeout: float
    say: Callable[[str], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    lost: int = 0
    _played: int = 0
    _named: Counter[str] = field(default_factory=Counter)
    _lookout: Lookout = field(init=False)

    def __post_init__(self) -> None:
        self._lookout = Lookout(self.gateway, self.timeout)

    def play(
        self,
        tasks: Sequence[Task],
        on_result: Callable[[RolloutResult], None] = lambda _: None,
    ) -> list[RolloutResult]:
        """Plays tasks, again where the outcome is not the agent's doing.

        Args:
            tasks: What to play.
            on_result: Called with each result as it comes.

        Returns:
            A result for each task, in order; one that was lost every time has the last
            outcome.

        Raises:
            TrainingStopped: The training is to end early.
            UsageError: Nearly nothing that is played counts, or nothing samples.
        """
        results: dict[int, RolloutResult] = {}
        waiting: dict[str, int] = {}
        tries: Counter[int] = Counter()
        self._queue(dict(enumerate(tasks)), waiting)
        while waiting:
            self._pause()
            again: dict[int, Task] = {}
            for result in self._ended():
                place = waiting.pop(result.rollout_id, None)
                if place is None:
                    continue
                tries[place] += 1
                if not result.outcome.counts:
                    self._lose(result)
                    if tries[place] < MAX_TRIES:
                        again[place] = tasks[place]
                        continue
                else:
                    self._played += 1
                results[place] = result
                on_result(result)
            self._queue(again, waiting)
        return [results[place] for place in range(len(tasks))]

    def _ended(self) -> list[RolloutResult]:
        """What came of the rollouts that ended since the last look."""
        names = [ended.rollout_id for ended in self.gateway.finished()]
        results = [self.gateway.result(name) for name in names]
        self.gateway.forget(names)
        told = [result for result in results if result.episode is not None]
        if told:
            self.gateway.arrived(told)
        return results

    def runner_lost(self, prefix: str) -> None:
        """A runner died: what it played is played again. Called from another thread."""
        self._lookout.runner_lost(prefix)

    def stop(self) -> None:
        """Ends `play` soon, from another thread."""
        self.stopping.set()

    def _queue(self, tasks: dict[int, Task], waiting: dict[str, int]) -> None:
        made = {self._name(tasks[place]): place for place in tasks}
        waiting.update(made)
        if made:
            self.gateway.enqueue(
                {rollout_id: tasks[place] for rollout_id, place in made.items()},
                timeout=int(self.timeout) + 1,
                seed=self.seed,
            )

    def _name(self, task: Task) -> str:
        """The id of the task's next rollout."""
        about = json.dumps([self.host.version, task.to_json()])
        self._named[about] += 1
        return draw_name(self.seed, self.session, about, self._named[about])

    def _pause(self) -> None:
        """Waits a moment, and looks after what can go wrong meanwhile."""
        if self.stopping.wait(TICK_SECONDS):
            raise TrainingStopped("the training was stopped")
        self.host.revive()
        if not self._lookout.due:
            return
        if (trouble := self.host.check()) is not None:
            self.say(trouble)
        self._lookout.look()

    def _lose(self, result: RolloutResult) -> None:
        if result.rollout_id in self._lookout.orphans:
            # One death takes many rollouts with it, and says nothing of each.
            self._lookout.orphans.remove(result.rollout_id)
            return
        self.lost += 1
        if self.lost >= HOPELESS and self.lost > self._played:
            raise UsageError(
                f"{self.lost} episodes were lost and {self._played} count; the last "
                f"lost one is an {result.outcome}: {result.error}"
            )
