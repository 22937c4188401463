"""Counts a scenario's outcomes, and says why it failed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.reliability import Reliability
from agentgym.runs.gate_facts import ScenarioFacts
from agentgym.runs.lines import count, percent, plain
from agentgym.runs.lines import threshold as limit_text
from agentgym.runs.prices import Prices
from agentgym.runs.spending import Spending, Usage
from agentgym.runs.summary import Gate

ROLES = ("judge", "user")
_VERBS: dict[Gate, str] = {
    "point": "is below",
    "tolerant": "is certain to be below",
    "certified": "is not certified to reach",
}
PREFIX = "agentgym_"
"""What the names of properties begin with."""


class ScenarioResult:
    """The outcomes of one scenario's episodes, and what they took.

    Args:
        prices: Where prices come from.
    """

    def __init__(self, prices: Prices) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.spent = Spending()
        self._prices = prices
        self._models: dict[str, str] = {}
        self.seconds = 0.0
        self.reward = 0.0
        self._failed_checks: Counter[str] = Counter()
        self._first_error: dict[Outcome, str] = {}

    def add(self, episode: Episode) -> None:
        """Counts one episode."""
        self.spent.add(episode, self._prices)
        if episode.alone:
            return
        self.outcomes[episode.outcome] += 1
        used = episode.simulators or {}
        self._models |= {role: used[role]["model"] for role in ROLES if role in used}
        self.seconds += episode.duration
        self.reward += episode.reward if episode.counted else 0.0
        if episode.error:
            self._first_error.setdefault(episode.outcome, episode.error)
        if episode.outcome is not Outcome.failed:
            return
        for check in episode.checks:
            if check["status"] in ("failed", "errored"):
                name = Path(check["file"]).name
                self._failed_checks[f"{name}:{check['line']}: {check['text']}"] += 1

    @property
    def passed(self) -> int:
        """Episodes that passed."""
        return self.outcomes[Outcome.passed]

    @property
    def counted(self) -> int:
        """Episodes that measure the agent."""
        return self.passed + self.outcomes[Outcome.failed]

    def properties(self, judged: Reliability) -> list[tuple[str, object]]:
        """What the scenario's report says to other plugins, such as JUnit's.

        The verdict is not among it: it depends on the other scenarios (see `junit`).

        Args:
            judged: What these episodes say by themselves.
        """
        total = sum(self.outcomes.values())
        values: dict[str, object] = {"episodes": total, "passed": self.passed}
        if self.counted:
            values |= {
                "reliability": round(self.passed / self.counted, 4),
                "low": round(judged.low, 4),
                "high": round(judged.high, 4),
                "threshold": judged.threshold,
                "mean_reward": round(self.reward / self.counted, 4),
            }
        values |= {role: plain(model) for role, model in self._models.items()}
        values |= _cost("", self.spent)
        values |= _cost("judges_", self.spent.judges)
        return [(f"{PREFIX}{name}", value) for name, value in values.items()]

    def failure(
        self,
        threshold: float,
        judged: Reliability | None = None,
        gate: Gate = "point",
    ) -> str | None:
        """Why the scenario fails against this threshold, or cannot be judged.

        By itself: the gate corrects its verdict for the other scenarios.

        Args:
            threshold: The reliability that it must reach.
            judged: What is certain, if the gate asks for that.
            gate: What it asks for.
        """
        passed, counted = self.passed, self.counted
        total = sum(self.outcomes.values())
        facts = ScenarioFacts(
            name="",
            passed=passed,
            counted=counted,
            total=total,
            threshold=threshold,
            verdict=None if judged is None else judged.verdict,
        )
        if facts.lost:
            lost = [
                f"{self.outcomes[outcome]} {outcome}: {plain(error)}"
                for outcome, error in self._first_error.items()
                if outcome is not Outcome.failed
            ]
            return (
                f"cannot judge: {total - counted} of {total} episodes do not count\n"
                + "\n".join(lost)
            )
        if facts.passes(certified=gate == "certified", tolerant=gate == "tolerant"):
            return None
        share = percent(passed / counted, threshold)
        text = f"reliability {share} ({passed} of {count(counted, 'episode')} passed)"
        return f"{text} {_VERBS[gate]} {limit_text(threshold)}{self._reasons()}"

    def _reasons(self) -> str:
        lines = [f"{n:>5} x {text}" for text, n in self._failed_checks.most_common(5)]
        error = self._first_error.get(Outcome.failed)
        if error is not None:
            lines.append(f"  first error: {plain(error)}")
        return "".join("\n" + line[:300] for line in lines)


def _cost(prefix: str, usage: Usage) -> dict[str, object]:
    """Nothing without tokens, and no money where it is not known."""
    if not usage.tokens:
        return {}
    values: dict[str, object] = {
        f"{prefix}input_tokens": usage.input_tokens,
        f"{prefix}output_tokens": usage.output_tokens,
    }
    if usage.known:
        values[f"{prefix}usd"] = round(usage.known, 6)
    return values
