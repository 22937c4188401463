"""A measurement whose episodes are played by runners on other machines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from _pytest.outcomes import Skipped

from agentgym.endpoint import without_secrets
from agentgym.playing.episode import Episode
from agentgym.playing.pool import Ended
from agentgym.playing.spec import EpisodeSpec
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.lookout import Lookout
from agentgym.training.hub.rollout_result import SKIPPED, RolloutResult
from agentgym.training.job.task import Task
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.collect.policy import POLICY
from pytest_agentgym.play.episode_report import come_home
from pytest_agentgym.play.run_context import RUN, case_source

QUEUED = 256
"""Rollouts that wait for a runner: as many as runners claim within a few ticks."""
TICK_SECONDS = 0.05
TRIES = 3
"""Rollouts of an episode whose runner is lost."""
SAY_SECONDS = 60.0
"""How often it says that no runner plays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedElsewhere:
    """What a runner has played: see `agentgym.playing.pool.PlayedEpisode`."""

    spec: EpisodeSpec
    control: BaseException | None = None
    first_failure: BaseException | None = None


class MeasuredElsewhere:
    """Queues a scenario's episodes at a gateway: see `Elsewhere`.

    Args:
        gateway: Where runners claim them.
        say: Shows a line.
    """

    def __init__(self, gateway: Gateway, say: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._say = say
        self._published = False

    def play(
        self,
        item: ScenarioItem,
        spec: Callable[[int], EpisodeSpec],
        count: int,
        *,
        enough: Callable[[], bool],
        check: Callable[[], None],
    ) -> Iterator[Sequence[Ended]]:
        """See `Elsewhere.play`.

        Args:
            item: The scenario.
            spec: What the episode of a number plays.
            count: The most episodes.
            enough: Whether to begin no further episode.
            check: What it raises ends it.
        """
        if "policy" in item.fixturenames and not self._published:
            endpoint = item.config.stash[POLICY].endpoint()
            self._gateway.publish(endpoint, endpoint.model, 0)
            self._published = True
        queue = _Queue(item, self._gateway, self._say)
        begun = finished = 0
        most = count
        try:
            while finished < most:
                try:
                    check()
                except BaseException:
                    # It is paid.
                    yield queue.ended()
                    raise
                more = min(most - begun, queue.room())
                queue.add([spec(index) for index in range(begun, begun + more)])
                begun += more
                batch = queue.collect()
                finished += len(batch)
                yield batch
                if most == count and enough():
                    # Those that a runner has claimed are played to their end, or the
                    # quick ones would count for more.
                    most = begun = begun - queue.withdraw()
        finally:
            queue.close()


@dataclass(slots=True)
class _Queue:
    """The rollouts of one scenario."""

    item: ScenarioItem
    gateway: Gateway
    say: Callable[[str], None]
    _waiting: dict[str, EpisodeSpec] = field(default_factory=dict)
    _tries: Counter[int] = field(default_factory=Counter)
    _timeout: int = field(init=False)
    _lookout: Lookout = field(init=False)
    _said: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        limits = self.item.config.stash[RUN].limits_of(self.item)
        # Set-up, body and tear-down of each attempt, and what is between them.
        parts = 3 * (1 + limits.infra_retries)
        self._timeout = int((limits.timeout or 3600.0) * parts) + 60
        self._lookout = Lookout(self.gateway, self._timeout)

    def room(self) -> int:
        """How many more may be queued."""
        return max(0, QUEUED - self.gateway.queued())

    def add(self, specs: Sequence[EpisodeSpec]) -> None:
        """Queues episodes.

        Args:
            specs: What they play.
        """
        if not specs:
            return
        seed = self.item.config.stash[RUN].options.seed
        source = case_source(self.item)
        tasks = {
            spec.id: Task(
                scenario=spec.scenario,
                split=spec.case.split,
                case=source.position(spec.case),
                phase="measure",
                repeat=spec.case.repeat,
            )
            for spec in specs
        }
        self._waiting.update((spec.id, spec) for spec in specs)
        self.gateway.enqueue(tasks, timeout=self._timeout, seed=seed)

    def collect(self) -> list[Ended]:
        """What has ended; waits a tick for it."""
        batch = self.ended()
        if batch:
            self._said = time.monotonic()
        else:
            time.sleep(TICK_SECONDS)
        self._look()
        return batch

    def ended(self) -> list[Ended]:
        """What has ended since the last time."""
        batch: list[Ended] = []
        for each in self.gateway.finished():
            spec = self._waiting.pop(each.rollout_id, None)
            result = self.gateway.result(each.rollout_id)
            self.gateway.forget([each.rollout_id])
            if spec is None:
                continue
            self._tries[spec.index] += 1
            if result.skipped:
                why = (result.error or "").removeprefix(SKIPPED)
                batch.append((PlayedElsewhere(spec=spec, control=Skipped(why)), None))
            elif result.episode is not None or self._tries[spec.index] >= TRIES:
                batch.append((PlayedElsewhere(spec=spec), _episode(spec, result)))
            else:
                # Another id: what its lost runner still says is of the first.
                self.add([replace(spec, id=f"{spec.id}-{self._tries[spec.index]}")])
        return batch

    def withdraw(self) -> int:
        """Takes back what no runner has claimed; returns how many."""
        taken = self.gateway.withdraw(list(self._waiting))
        for rollout_id in taken:
            del self._waiting[rollout_id]
        return len(taken)

    def close(self) -> None:
        """Nobody waits for what is left."""
        self.withdraw()
        for rollout_id in self._waiting:
            self.gateway.fail(rollout_id, "infra_error: the measurement has ended")
        self.gateway.forget(self._waiting)

    def _look(self) -> None:
        """Looks after runners that are lost, or are not there."""
        if not self._lookout.due:
            return
        self._lookout.look()
        now = time.monotonic()
        if self.gateway.running():
            self._said = now
        elif now - self._said >= SAY_SECONDS:
            self._said = now
            self.say(
                f"no runner has claimed an episode for {SAY_SECONDS:.0f} s: is one "
                f"running, and does it reach {self.gateway.url}?"
            )


def _episode(spec: EpisodeSpec, result: RolloutResult) -> Episode:
    """What the run keeps of a rollout.

    Args:
        spec: What it played.
        result: What came of it.
    """
    if result.episode is None:
        return Episode(
            id=spec.id,
            scenario=spec.scenario,
            index=spec.index,
            case=spec.case.place(),
            outcome=result.outcome,
            reward=0.0,
            start=time.time(),
            error=result.error,
            policy=None if spec.policy is None else without_secrets(spec.policy),
            repeat=spec.case.repeat,
        )
    episode = come_home(result.episode)
    episode.id, episode.index = spec.id, spec.index
    episode.phase, episode.repeat = None, spec.case.repeat
    return episode
