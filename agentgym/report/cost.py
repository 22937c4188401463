"""What a run took, as lines for a terminal: tokens and money."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentgym.distribution import install_command
from agentgym.runs.lines import (
    Heading,
    Line,
    TableRow,
    count,
    dollars,
    listed,
    number,
    rows_by_file,
    table,
    wrapped,
)
from agentgym.runs.prices import installed
from agentgym.runs.spending import Spending

if TYPE_CHECKING:
    from agentgym.runs.summary import RunSummary

MOST_MODELS = 5
MOST_SCENARIOS = 20
"""Scenarios in the table; of more of them the dearest are shown."""


def cost_section(summary: RunSummary, width: int = 80) -> Iterator[Line]:
    """A table of the scenarios, and what all of them took; nothing without tokens.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    spent = summary.spent
    if not spent.all_tokens:
        return
    yield Heading("cost")
    if spent.tokens:
        yield from _scenarios(summary, width)
        yield from wrapped(_all(spent), width)
    if spent.judges.tokens:
        yield from wrapped(_judges(spent), width, hanging="  ")
    for text in notes(spent):
        yield from wrapped(text, width, hanging="  ")


def _scenarios(summary: RunSummary, width: int) -> Iterator[Line]:
    paid = bool(summary.spent.usd)
    columns = ["in/ep", "out/ep", "tok/pass", *(["$/ep", "$/pass"] if paid else [])]
    scenarios = summary.ordered
    dearest = sorted(scenarios, key=lambda s: (-s.spent.usd, -s.spent.tokens))
    if len(scenarios) > MOST_SCENARIOS:
        scenarios = dearest[:MOST_SCENARIOS]
    named = ((scenario.name, scenario.spent) for scenario in scenarios)
    rows = rows_by_file(named, lambda name, spent: TableRow(name, _cells(spent, paid)))
    yield from table(columns, rows, width)
    more = len(dearest) - len(scenarios)
    if more:
        yield Line(f"and {count(more, 'scenario')} that took less")


def _cells(spent: Spending, paid: bool) -> list[str]:
    episode, passed = spent.per(spent.episodes), spent.per(spent.passed)
    tokens = spent.tokens / spent.passed if spent.passed else None
    if spent.tokens:
        cells = [number(episode["input_tokens"]), number(episode["output_tokens"])]
        cells.append(number(tokens))
    else:
        # No call reported any, or there was none.
        cells = ["-"] * 3
    if paid:
        cells += [dollars(episode["usd"]), dollars(passed["usd"])]
    return cells


def _all(spent: Spending) -> str:
    text = (
        f"{spent.input_tokens:,} tokens in, {spent.output_tokens:,} out in "
        f"{count(spent.episodes, 'episode')}"
    )
    if spent.usd:
        known = spent.known
        at_least = "" if known is not None else "at least "
        text += f": {at_least}{dollars(spent.usd)}"
        if known is not None and spent.passed:
            text += f", {dollars(known / spent.passed)} per passed episode"
    return text


def _judges(spent: Spending) -> str:
    judges = spent.judges
    text = (
        f"judges and simulated users: {judges.input_tokens:,} tokens in, "
        f"{judges.output_tokens:,} out"
    )
    if judges.usd:
        at_least = "" if judges.known is not None else "at least "
        text += f": {at_least}{dollars(judges.usd)}"
    if spent.usd and judges.usd:
        at_least = "at least " if None in (spent.known, judges.known) else ""
        text += f"; {at_least}{dollars(spent.all_usd)} with the agent's"
    return text


def notes(spent: Spending) -> Iterator[str]:
    """What has no price, and why."""
    if spent.local:
        mixed = "" if spent.local == spent.calls else f" ({count(spent.local, 'call')})"
        yield f"the policy runs on this machine and costs nothing{mixed}"
    models = unpriced_models(spent)
    if models:
        yield unknown_price(models)
    calls, silent = spent.calls + spent.judges.calls, spent.silent + spent.judges.silent
    if silent:
        yield (
            f"{silent} of {count(calls, 'model call')} reported no tokens: they are "
            "not counted"
        )


def unpriced_models(spent: Spending) -> list[str]:
    """The models, also of judges, whose tokens have no known price."""
    found = spent.unpriced.items() | spent.judges.unpriced.items()
    return sorted({name for name, tokens in found if tokens}, key=str.lower)


def unknown_price(models: list[str]) -> str:
    """The sentence for models without a known price, and what to do."""
    named = listed(models, MOST_MODELS)
    hint = "" if installed() else f"{install_command('prices')} for a list of prices, "
    plural = "" if len(models) == 1 else "s"
    return (
        f"the price{plural} of {named} {'is' if not plural else 'are'} not known: "
        f"tokens only ({hint}"
        f"{'or ' if hint else ''}--agentgym-price 'MODEL=IN/OUT' in dollars per "
        "million tokens)"
    )
