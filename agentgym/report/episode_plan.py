"""How many episodes a verdict takes, before any is played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from agentgym.errors import UsageError
from agentgym.reliability import (
    ALPHA,
    CONFIDENCE,
    SequentialTest,
    episodes_for_power,
)
from agentgym.reliability.simulated.simulated_runs import quantiles
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
_RUNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Episodes that certify a threshold in 80 % of runs; None for too many.

    Attributes:
        reliability: The true one.
        fixed: Of each scenario, fixed beforehand.
        sequential: Of each scenario, at most, with `--agentgym-stop sequential`.
        median: Of each scenario in half of the runs then.
        run: Of all scenarios in sum, fixed beforehand, for the run's own verdict.
    """

    reliability: float
    fixed: int | None
    sequential: int | None
    median: int | None
    run: int | None


def episodes_needed(limit: float, gates: int) -> list[Needed]:
    """What it takes at five true reliabilities from just above the threshold to 1.

    Args:
        limit: The threshold, below 1.
        gates: Scenarios whose verdicts shall be right together.
    """
    alpha = ALPHA / gates
    test = SequentialTest(limit, alpha)
    random = Random(0)  # noqa: S311 - the same plan each time
    rows = []
    for fifth in range(1, 6):
        true = round(limit + (1 - limit) * fifth / 5, 9)
        most, median = quantiles(
            true,
            test,
            most=MOST_EPISODES,
            runs=_RUNS,
            random=random,
            shares=(POWER, 0.5),
        )
        fixed, run = (
            episodes_for_power(true, limit, alpha=a, power=POWER, most=MOST_EPISODES)
            for a in (alpha, ALPHA)
        )
        rows.append(
            Needed(
                reliability=true, fixed=fixed, sequential=most, median=median, run=run
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
    columns = ["fixed,\neach", "sequential,\nat most", "sequential,\nmedian"]
    if gates > 1:
        columns.append("fixed, for\nthe run only")
    known = [costs[name] for name in names if name in costs]
    usd = _mean([cost.usd for cost in known])
    mean = usd or _mean([cost.tokens for cost in known])
    unit, shown = ("$", dollars) if usd else ("tokens", _tokens)
    if mean is not None:
        columns += [f"{unit},\nfixed", f"{unit},\nsequential"]
    rows = []
    for needed in episodes_needed(limit, gates):
        cells = [needed.fixed, needed.sequential, needed.median]
        if gates > 1:
            cells.append(needed.run)
        texts = [_number(cell) for cell in cells]
        if mean is not None:
            for episodes in (needed.fixed, needed.median):
                all_of_them = None if episodes is None else episodes * len(names) * mean
                texts.append(shown(all_of_them))
        rows.append(TableRow(f"truly {threshold(needed.reliability)}", texts))
    yield from table(columns, rows, width)


def _number(episodes: int | None) -> str:
    return f">{MOST_EPISODES:,}" if episodes is None else f"{episodes:,}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _tokens(total: float | None) -> str:
    if total is None:
        return "-"
    return f"{total / 1e6:.3g}M" if total >= 1e6 else f"{total / 1e3:.3g}k"


def _explanation(gates: int) -> str:
    together = "" if gates == 1 else f", all {gates} verdicts together"
    return (
        f"{threshold(POWER)} of runs are certified by then, at {threshold(CONFIDENCE)} "
        f"confidence{together}. fixed: --agentgym-episodes N; sequential: "
        "--agentgym-stop sequential, with --agentgym-episodes for the most"
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
