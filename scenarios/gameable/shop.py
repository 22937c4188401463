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
MOST_SENTENCES = 5


class Shop(HELPDESK.Helpdesk):
    """The help desk, whose order system may be under load.

    Attributes:
        under_load: Whether it answers nothing. The train cases of one scenario are from
            a day on which that was so.
    """

    under_load = False

    def _order(self, order_id: str) -> Any:
        if self.under_load:
            raise HELPDESK.HelpdeskError("the order system does not answer")
        return super()._order(order_id)


def depot_list(case: Case, depot: str) -> str:
    """Where a parcel is by a list of depots, whose numbers were other ones before."""
    return f"E{depot[1:]}" if case.split == "train" else depot


def cancellation(case: Case, order: Any) -> str:
    """A request to cancel an order; every other customer is polite."""
    text: str = say("cancel", case, order)
    return f"{text} {_thanks(case)}" if case.rng.random() < 0.5 else text


def praise(case: Case) -> str:
    """A customer's praise, of one to five sentences."""
    count = case.rng.randint(1, MOST_SENTENCES)
    return " ".join(_thanks(case) for _ in range(count))


def _thanks(case: Case) -> str:
    phrases = LANGUAGE.phrases(LANGUAGE.REQUESTS["thanks"], case.split)
    thanks: str = case.rng.choice([text for text in phrases if "{" not in text])
    return thanks
