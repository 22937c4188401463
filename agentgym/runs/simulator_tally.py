"""Which scenarios a judge or a simulated user took part in, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.runs.summary_json import JudgeJson, SimulatorsJson, UserJson


@dataclass(slots=True)
class RoleTally:
    """One role over all episodes of a run, those that do not count included.

    Attributes:
        scenarios: Node ids.
        answers: Verdicts, or messages.
        cached: How many of the verdicts were known already.
        tokens: What the others took.
    """

    models: set[str] = field(default_factory=set)
    scenarios: set[str] = field(default_factory=set)
    answers: int = 0
    cached: int = 0
    tokens: int = 0

    def add(self, scenario: str, did: dict[str, Any]) -> None:
        """Counts what it did in one episode.

        Args:
            scenario: The episode's node id.
            did: The role's entry in the episode's `simulators`.
        """
        verdicts = did.get("verdicts", ())
        self.models.add(did["model"])
        self.scenarios.add(scenario)
        self.answers += did.get("messages", len(verdicts))
        self.cached += sum(verdict["cached"] for verdict in verdicts)
        self.tokens += did["tokens"]


@dataclass(slots=True)
class SimulatorTally:
    """Judges and simulated users of a run.

    Attributes:
        undeclared: Scenarios that do not say that they are judged: no training may
            learn from their rewards.
    """

    judge: RoleTally = field(default_factory=RoleTally)
    user: RoleTally = field(default_factory=RoleTally)
    undeclared: set[str] = field(default_factory=set)

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        simulators = episode.simulators
        if simulators is None:
            return
        for role, tally in (("judge", self.judge), ("user", self.user)):
            if role in simulators:
                tally.add(episode.scenario, simulators[role])
        if not simulators["declared"]:
            self.undeclared.add(episode.scenario)

    def to_json(self) -> SimulatorsJson:
        """The form in `summary.json`; None for who took no part."""
        return {
            "judge": _judge(self.judge) if self.judge.scenarios else None,
            "user": _user(self.user) if self.user.scenarios else None,
            "undeclared": sorted(self.undeclared),
        }


def _judge(tally: RoleTally) -> JudgeJson:
    return {
        "models": sorted(tally.models),
        "scenarios": sorted(tally.scenarios),
        "verdicts": tally.answers,
        "cached": tally.cached,
        "tokens": tally.tokens,
    }


def _user(tally: RoleTally) -> UserJson:
    return {
        "models": sorted(tally.models),
        "scenarios": sorted(tally.scenarios),
        "messages": tally.answers,
        "tokens": tally.tokens,
    }
