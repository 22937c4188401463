"""How many episodes a verdict takes, before any is played."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agentgym.errors import UsageError
from agentgym.reliability import (
    ALPHA,
    CONFIDENCE,
    episodes_for_power,
)
from agentgym.reliability.run_lengths import (
    episodes_for_all,
    grouped_episodes,
    sequential_episodes,
)
from agentgym.runs.files.layout import RUNS
from agentgym.runs.files.stored import finished_runs, read_summary
from agentgym.runs.lines import (
    Heading,
    Line,
    TableRow,
    count,
    dollars,
    table,
    threshold,
    wrapped,
)
from agentgym.runs.summary_json import ScenarioJson

POWER = 0.8
MOST_EPISODES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Episodes that certify a threshold in 80 % of runs, or more; None for too many.

    Attributes:
        reliability: The true one, of all scenarios.
        fixed: Of each scenario, fixed beforehand.
        sequential: Of each, at most, and the mean, with `--agentgym-stop sequential`.
        grouped: The same with `--agentgym-stop grouped`.
        run: Of all scenarios in sum, fixed beforehand, for the run's own verdict.
    """

    reliability: float
    fixed: int | None
    sequential: tuple[int, float] | None
    grouped: tuple[int, float] | None
    run: int | None

    @property
    def means(self) -> list[float | None]:
        """What each of the three takes, on average."""
        early = [self.sequential, self.grouped]
        return [self.fixed, *(one[1] if one else None for one in early)]


def episodes_needed(limit: float, gates: int) -> list[Needed]:
    """What it takes at five true reliabilities from just above the threshold to 1.

    Args:
        limit: The threshold, below 1.
        gates: Scenarios that shall all be certified in 80 % of runs.
    """
    rows = []
    for fifth in range(1, 6):
        true = round(limit + (1 - limit) * fifth / 5, 9)
        fixed = episodes_for_all(true, limit, gates=gates, most=MOST_EPISODES)
        early = (
            find(true, limit, gates=gates, power=POWER, most=MOST_EPISODES)
            for find in (sequential_episodes, grouped_episodes)
        )
        sequential, grouped = early
        run = episodes_for_power(
            true, limit, alpha=ALPHA, power=POWER, most=MOST_EPISODES
        )
        rows.append(
            Needed(
                reliability=true,
                fixed=fixed,
                sequential=sequential,
                grouped=grouped,
                run=run,
            )
        )
    return rows


class EpisodeCost(NamedTuple):
    """What an episode of a scenario takes, on average.

    Attributes:
        tokens: The agent's.
        usd: US dollars, judges' and simulated users' included; None if not all known.
    """

    tokens: float
    usd: float | None


def plan(
    thresholds: Mapping[str, float], costs: Mapping[str, EpisodeCost], width: int
) -> Iterator[Line]:
    """The plan of a run.

    Args:
        thresholds: Each scenario's.
        costs: What one episode takes, of the scenarios for which it is known.
        width: Characters that a line may have.
    """
    gates = len(thresholds)
    for limit in sorted(set(thresholds.values())):
        names = [name for name, own in thresholds.items() if own == limit]
        which = count(len(names), "scenario")
        yield Heading(f"episodes that certify {threshold(limit)} in {which}")
        if not 0 < limit < 1:
            always = "one episode certifies" if limit <= 0 else "no number can certify"
            yield Line(f"{always} {threshold(limit)}")
            continue
        yield from _table(names, limit, gates, costs, width)
    yield from wrapped(_explanation(gates), width)
    if not costs:
        text = f"no earlier run in {RUNS} knows the tokens of an episode"
        yield from wrapped(text, width)


def _table(
    names: Sequence[str],
    limit: float,
    gates: int,
    costs: Mapping[str, EpisodeCost],
    width: int,
) -> Iterator[Line]:
    columns = ["fixed,\neach", "sequential,\nat most", "\nmean"]
    columns += ["grouped,\nat most", "\nmean"]
    if gates > 1:
        columns.append("fixed, for\nthe run only")
    all_needed = episodes_needed(limit, gates)
    rows = []
    for needed in all_needed:
        cells: list[float | None] = [needed.fixed]
        for early in (needed.sequential, needed.grouped):
            cells += early or (None, None)
        if gates > 1:
            cells.append(needed.run)
        rows.append(_row(needed, map(_number, cells)))
    yield from table(columns, rows, width)
    yield from _cost_table(names, all_needed, costs, width)


def _cost_table(
    names: Sequence[str],
    all_needed: Sequence[Needed],
    costs: Mapping[str, EpisodeCost],
    width: int,
) -> Iterator[Line]:
    """What so many episodes take, on average, if an earlier run knows it."""
    known = [costs[name] for name in names if name in costs]
    usd = _mean([cost.usd for cost in known])
    mean = usd or _mean([cost.tokens for cost in known])
    if mean is None:
        return
    unit, shown = ("$", dollars) if usd else ("tokens", _tokens)
    columns = [f"{unit},\n{stop}" for stop in ("fixed", "sequential", "grouped")]
    rows = []
    for needed in all_needed:
        totals = [
            None if one is None else one * len(names) * mean for one in needed.means
        ]
        rows.append(_row(needed, map(shown, totals)))
    yield from table(columns, rows, width)


def _row(needed: Needed, cells: Iterable[str]) -> TableRow:
    return TableRow(f"truly {threshold(needed.reliability)}", list(cells))


def _number(episodes: float | None) -> str:
    return f">{MOST_EPISODES:,}" if episodes is None else f"{episodes:,.0f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _tokens(total: float | None) -> str:
    if total is None:
        return "-"
    return f"{total / 1e6:.3g}M" if total >= 1e6 else f"{total / 1e3:.3g}k"


def _explanation(gates: int) -> str:
    which = "it is" if gates == 1 else f"all {gates} scenarios are"
    return (
        f"in {threshold(POWER)} of runs {which} certified by then, at "
        f"{threshold(CONFIDENCE)} confidence. fixed: --agentgym-episodes N; sequential "
        "and grouped: --agentgym-stop, with --agentgym-episodes for the most; mean: of "
        "each scenario"
    )


def known_costs(root: Path, names: Sequence[str]) -> dict[str, EpisodeCost]:
    """What one episode took in the latest run that knows any of the scenarios.

    Args:
        root: The project's folder.
        names: The scenarios.
    """
    for run in finished_runs(root / RUNS):
        assert run.summary is not None
        try:
            found = read_summary(run.summary)["scenarios"]
        except UsageError:
            continue  # a plan needs no cost
        known = {s["name"]: _cost(s) for s in found if s["tokens"] and s["episodes"]}
        known = {name: known[name] for name in names if name in known}
        if known:
            return known
    return {}


def _cost(scenario: ScenarioJson) -> EpisodeCost:
    # Early versions did not know what judges took.
    cost = scenario["cost"]
    usd = cost.get("total", cost)["usd"]
    return EpisodeCost(
        tokens=float(scenario["tokens"] or 0),
        usd=None if usd is None else usd / scenario["episodes"],
    )
