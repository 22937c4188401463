"""What a model's tokens cost, in US dollars."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from agentgym.errors import UsageError

PER = 1_000_000
"""Tokens that a price is for."""

Cost = Callable[[int, int], float]
"""US dollars of one model call, from its prompt and completion tokens."""

_PRICE = re.compile(r"(?P<model>.+)=\$?(?P<input>[^/=$]+)/\$?(?P<output>[^/=$]+)")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def __call__(self, prompt: int, completion: int) -> float:
        """US dollars of one model call."""
        return (prompt * self.input + completion * self.output) / PER


def parse_price(text: str) -> tuple[str, Price]:
    """Reads `MODEL=IN/OUT`.

    Args:
        text: A model's name, in which `*` stands for anything, and two prices in US
            dollars per million tokens.

    Raises:
        UsageError: It is nothing of the kind.
    """
    found = _PRICE.fullmatch(text.strip())
    if found is not None:
        try:
            price = Price(float(found["input"]), float(found["output"]))
        except ValueError:
            price = Price(-1, -1)
        if all(math.isfinite(p) and p >= 0 for p in (price.input, price.output)):
            return found["model"].strip(), price
    raise UsageError(
        f"{text}: give MODEL=IN/OUT, the price of a million prompt and of a million "
        "completion tokens in US dollars, such as gpt-5=1.25/10"
    )


class Prices:
    """Finds the price of a model: the user's own, or else that of `genai-prices`.

    That package brings its list of prices along; nothing is fetched.

    Args:
        own: The user's prices by name or pattern; the first that matches counts.
        listed: Whether models of the package's list have a price, too.

    Attributes:
        given: The user's prices.
        source: The package that prices were taken from, if any were.
    """

    def __init__(
        self, own: Mapping[str, Price] | None = None, *, listed: bool = True
    ) -> None:
        self.given = dict(own or {})
        self._own = {name.lower(): price for name, price in self.given.items()}
        self._listed = listed
        self._known: dict[str, Cost | None] = {}
        self.source: str | None = None

    def prepare(self) -> None:
        """Imports what must not be imported while episodes are played.

        At each call the OpenAI client looks for `httpx2`, which the list brings along,
        among the loaded modules, and takes one for whole that another thread is still
        importing: episodes would fail for no fault of the agent's.
        """
        if self._listed and installed():
            with suppress(ImportError):
                importlib.import_module("httpx2")

    def own(self, model: str) -> Price | None:
        """The user's price of the model."""
        name = model.lower()
        for pattern, price in self._own.items():
            if name == pattern or fnmatchcase(name, pattern):
                return price
        return None

    def of(self, model: str) -> Cost | None:
        """How to compute what a call of the model costs; None if no price is known."""
        if model not in self._known:
            self._known[model] = self.own(model) or self._look_up(model)
        return self._known[model]

    def _look_up(self, model: str) -> Cost | None:
        if not self._listed:
            return None
        try:
            # Takes a third of a second: only where there is something to pay.
            import genai_prices
        except ImportError:
            return None
        self.source = f"genai-prices {genai_prices.__version__}"
        return _listed_cost(model)


def installed() -> bool:
    """Whether the package with the list of prices is there."""
    from importlib.util import find_spec

    return find_spec("genai_prices") is not None


def _listed_cost(model: str) -> Cost | None:
    from datetime import UTC, datetime

    from genai_prices import Usage
    from genai_prices.data_snapshot import get_snapshot

    # "openai/gpt-5" is how routers write it.
    maker, slash, name = model.partition("/")
    found: tuple[Any, Any] | None = None
    for reference, provider in ((model, None), (name, maker if slash else None)):
        if not reference:
            continue
        try:
            found = get_snapshot().find_provider_model(reference, None, provider, None)
            break
        except LookupError:
            continue
    if found is None:
        return None
    source, info = found
    listed = info.get_prices(datetime.now(tz=UTC))
    amounts = (listed.input_mtok, listed.output_mtok)
    if all(amount is None for amount in amounts):
        return None
    base = Price(*map(_base, amounts))
    limit = min(map(_limit, amounts))

    def cost(prompt: int, completion: int) -> float:
        # A hundred times as fast as the package's own way.
        if prompt < limit:
            return base(prompt, completion)
        usage = Usage(input_tokens=prompt, output_tokens=completion)
        return float(info.calc_price(usage, source).total_price)

    return cost


def _base(amount: Any) -> float:
    """The price of short calls; long ones may have a higher one."""
    return float(getattr(amount, "base", amount) or 0)


def _limit(amount: Any) -> float:
    """Prompt tokens from which a call may have a higher price."""
    tiers = getattr(amount, "tiers", ())
    return min((tier.start for tier in tiers), default=math.inf)
