"""The help desk of the pack customer_support, with what these scenarios do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentgym import ScenarioRegistry

if TYPE_CHECKING:
    from agentgym import Case

SUPPORT = ScenarioRegistry().get("customer_support")
HELPDESK, LANGUAGE = SUPPORT.module("helpdesk"), SUPPORT.module("language")
INSTRUCTIONS, WORDING, say = (
    LANGUAGE.INSTRUCTIONS,
    LANGUAGE.WORDING,
    LANGUAGE.say,
)
UNDER_LOAD = 0.5
"""Share of the cases in which the order system does not answer."""
UP_TO_DATE = 0.5
"""Share of the prices that are still what the price list says."""
MOST_SENTENCES = 5


class Shop(HELPDESK.Helpdesk):
    """The help desk, whose order system may be under load."""

    under_load = False

    def _order(self, order_id: str) -> Any:
        if self.under_load:
            raise HELPDESK.HelpdeskError("the order system does not answer")
        return super()._order(order_id)


def under_load(case: Case) -> bool:
    """Whether the order system answers nothing in this case."""
    return case.rng.random() < UNDER_LOAD


def price_list(case: Case, total: float) -> float:
    """What the price list says of an order that cost so much: it is not kept up."""
    return total if case.rng.random() < UP_TO_DATE else round(1.1 * total, 2)


def cancellation(case: Case, order: Any) -> str:
    """A request to cancel an order; every other customer asks for the hours, too."""
    text: str = say("cancel", case, order)
    return f"{say('hours', case)} {text}" if case.rng.random() < 0.5 else text


def praise(case: Case) -> str:
    """A customer's praise, of one to five sentences."""
    phrases = LANGUAGE.phrases(LANGUAGE.REQUESTS["thanks"], case.split)
    said = [text for text in phrases if "{" not in text]
    count = case.rng.randint(1, MOST_SENTENCES)
    return " ".join(case.rng.choice(said) for _ in range(count))
