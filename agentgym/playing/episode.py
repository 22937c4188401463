"""One live run of an agent on one case, as plain data with a JSON round trip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentgym.recording.blame import Outcome
from agentgym.recording.plain import clean
from agentgym.recording.trajectory import Trajectory

FORMAT = 1
"""Version of the JSON form; each line of a file has it, as lines may be mixed."""
ALONE = "alone"
"""The phase of a failed episode that a measurement plays again, without any other."""


@dataclass(slots=True, kw_only=True)
class Episode:
    """What an episode was, what happened in it, and what came of it.

    Attributes:
        id: Unique; Agent Lightning's rollout id when training.
        scenario: Node id of the scenario.
        index: Number within the scenario, from 0.
        case: The case's index, seed, split and value.
        reward: In [0, 1].
        checks: Per check: id, text, file, line, weight, must, conditional, status,
            share, message.
        tools: Per tool: what `agentgym.playing.tool_table` counts.
        start: Seconds since 1970.
        duration: Seconds, all attempts included.
        error: What ended the episode before its body did, in one line.
        details: Where that happened.
        output: What was printed and logged.
        policy: The model behind the agent, where it is known.
        tokens: Prompt and completion tokens of the trajectory.
        discarded: Of the attempts before the last one, which the trajectory is of:
            model, prompt and completion tokens of each model call.
        attempt_start: Seconds from `start` to that last attempt, whose times the
            trajectory has.
        simulators: What judge and simulated users did, `agentgym.simulators`'s
            `Simulation.to_json`; None if there were none. Their tokens, those of
            earlier attempts included, are not in `tokens`.
        phase: What a training played it for: see `agentgym.training.job.task.Task`;
            or `ALONE`.
        repeat: Number among the episodes of the same case and phase.
    """

    id: str
    scenario: str
    index: int
    case: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome
    reward: float
    checks: list[dict[str, Any]] = field(default_factory=list)
    trajectory: Trajectory = field(default_factory=Trajectory)
    tools: list[dict[str, Any]] = field(default_factory=list)
    start: float = 0.0
    duration: float = 0.0
    attempts: int = 1
    error: str | None = None
    details: str | None = None
    output: str = ""
    policy: str | None = None
    tokens: int = 0
    discarded: list[list[Any]] = field(default_factory=list)
    attempt_start: float = 0.0
    simulators: dict[str, Any] | None = None
    phase: str | None = None
    repeat: int = 0

    @property
    def counted(self) -> bool:
        """Whether it measures the agent."""
        return self.outcome.counts

    @property
    def alone(self) -> bool:
        """Whether it was played to see what the others do to it, and for no number."""
        return self.phase == ALONE

    @property
    def judged_by(self) -> list[str]:
        """Models of judge and simulated users that took part in its reward."""
        simulators = self.simulators or {}
        roles = ("judge", "user")
        return sorted({simulators[r]["model"] for r in roles if r in simulators})

    def to_json(self) -> dict[str, Any]:
        """The JSON form: a line of `episodes.jsonl`."""
        return {
            "format": FORMAT,
            "id": self.id,
            "scenario": self.scenario,
            "index": self.index,
            "case": self.case,
            "outcome": self.outcome.value,
            "reward": self.reward,
            "checks": [_clean_check(check) for check in self.checks],
            "trajectory": self.trajectory.to_json(),
            "tools": self.tools,
            "start": round(self.start, 6),
            "duration": round(self.duration, 6),
            "attempts": self.attempts,
            "error": None if self.error is None else clean(self.error),
            "details": None if self.details is None else clean(self.details),
            "output": clean(self.output),
            "policy": self.policy,
            "tokens": self.tokens,
            "discarded": self.discarded,
            "attempt_start": round(self.attempt_start, 6),
            "simulators": self.simulators,
            "phase": self.phase,
            "repeat": self.repeat,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Episode:
        """The episode that `to_json` described.

        Raises:
            ValueError: A newer version of agentgym wrote it.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']} is not {FORMAT}")
        fields = {key: value for key, value in data.items() if key != "format"}
        return cls(
            **{
                **fields,
                "outcome": Outcome(data["outcome"]),
                "trajectory": Trajectory.from_json(data["trajectory"]),
            }
        )


def _clean_check(check: dict[str, Any]) -> dict[str, Any]:
    message = check.get("message")
    return check if message is None else {**check, "message": clean(message)}
