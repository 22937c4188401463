"""The options about tokens and money."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from agentgym.runs.prices import Price
    from pytest_agentgym.option_groups import OptionGroups


class CostOptions(NamedTuple):
    """What tokens cost, and what a run may take.

    Attributes:
        prices: The user's prices by model or pattern.
        max_usd: US dollars.
        max_tokens: Prompt and completion tokens.
    """

    prices: dict[str, Price]
    max_usd: float | None
    max_tokens: int | None


COST_OPTIONS = pytest.StashKey[CostOptions]()


def add_options(groups: OptionGroups) -> None:
    """Adds the options."""
    group = groups.cost
    group.addoption(
        "--agentgym-price",
        metavar="MODEL=IN/OUT",
        action="append",
        help="US dollars of a million tokens, as 'gpt-5=1.25/10'",
    )
    group.addoption(
        "--agentgym-max-cost",
        metavar="DOLLARS",
        help="start no further episode once they are spent",
    )
    group.addoption(
        "--agentgym-max-tokens",
        metavar="N",
        help="start no further episode once they are used",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    options = CostOptions(
        prices=_prices(config.getoption("agentgym_price") or ()),
        max_usd=_dollars(config.getoption("agentgym_max_cost")),
        max_tokens=_tokens(config.getoption("agentgym_max_tokens")),
    )
    if config.getoption("agentgym_train"):
        for name, limit in (
            ("cost", options.max_usd),
            ("tokens", options.max_tokens),
        ):
            if limit is not None:
                raise pytest.UsageError(
                    f"--agentgym-max-{name} has no place beside --train: a training "
                    "ends by --agentgym-budget or --agentgym-updates"
                )
    config.stash[COST_OPTIONS] = options


def _prices(texts: Iterable[str]) -> dict[str, Price]:
    from agentgym.errors import UsageError
    from agentgym.runs.prices import parse_price

    prices = {}
    for text in texts:
        try:
            model, price = parse_price(text)
        except UsageError as exc:
            raise pytest.UsageError(f"--agentgym-price {exc}") from None
        prices[model] = price
    return prices


def _dollars(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        amount = float(text.strip().removeprefix("$"))
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount > 0):
        raise pytest.UsageError(
            f"--agentgym-max-cost {text}: give an amount of US dollars above 0, "
            "such as 5.00"
        )
    return amount


def _tokens(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdigit() and int(digits)):
        raise pytest.UsageError(
            f"--agentgym-max-tokens {text}: give a whole number of at least 1"
        )
    return int(digits)
