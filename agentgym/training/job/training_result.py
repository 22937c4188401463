"""What came of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agentgym.runs.summary_json import (
    GainJson,
    MismatchJson,
    PerPassedJson,
    ShareJson,
    SignJson,
    TrainingJson,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """Held-out reliability before and after, and what it took.

    Attributes:
        before: Value and 95 % interval before; None if it was not measured to its end.
        after: The same after, on the same cases.
        difference: Paired on the same episodes, with a 95 % interval.
        target: The reliability that was asked for.
        met: Whether `after` (or `before`, without an update) reaches it.
        judgeable: Whether enough episodes count to say so.
        interrupted: Whether it was stopped before its end.
        episodes: Played for training and validation.
        updates: Policy updates.
        seconds: All sessions together, measurements included.
        policy: What was trained.
        version: The version that was measured and saved.
        looks: Measurements on held-out cases since the one before.
        agent: Folder of the saved agent; None if nothing was saved.
        reason: Why it ended, in one sentence.
        never_passed: Scenarios of which no episode passed while it learned.
        gate: Whether the measured share or what is certain had to reach the target.
        at_least: What the last measurement reaches for certain, at 95 % confidence over
            all looks at held-out cases together; None without episodes.
        next_confidence: Of a further look by itself, so that it stays 95 % together.
        mismatch: How far sampler and trainer differed; None without an update.
        per_passed: Tokens, tool calls and, at prices that were given, US dollars per
            passed episode before and after; None where it is not known yet.
        signs: Signs of reward hacking that there are at its end.
    """

    before: ShareJson | None
    after: ShareJson | None
    difference: GainJson | None
    target: float
    met: bool
    judgeable: bool
    interrupted: bool
    episodes: int
    updates: int
    seconds: float
    policy: str
    version: int
    looks: int
    agent: Path | None
    reason: str
    never_passed: list[str] = field(default_factory=list)
    gate: Literal["point", "certified"] = "point"
    at_least: float | None = None
    next_confidence: float = 0.95
    mismatch: MismatchJson | None = None
    per_passed: PerPassedJson | None = None
    signs: list[SignJson] = field(default_factory=list)

    def to_json(self) -> TrainingJson:
        """The `training` object of `summary.json`."""
        return {
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "target": self.target,
            "met": self.met,
            "judgeable": self.judgeable,
            "interrupted": self.interrupted,
            "episodes": self.episodes,
            "updates": self.updates,
            "seconds": round(self.seconds, 1),
            "policy": self.policy,
            "version": self.version,
            "looks": self.looks,
            "agent": None if self.agent is None else str(self.agent),
            "reason": self.reason,
            "never_passed": self.never_passed,
            "gate": self.gate,
            "at_least": self.at_least,
            "next_confidence": self.next_confidence,
            "mismatch": self.mismatch,
            "per_passed": self.per_passed,
            "signs": self.signs,
        }

    @classmethod
    def from_json(cls, data: TrainingJson) -> TrainingResult:
        """The result that `to_json` described."""
        agent = data["agent"]
        fields: dict[str, Any] = {
            **data,
            "agent": None if agent is None else Path(agent),
        }
        return cls(**fields)
