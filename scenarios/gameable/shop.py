"""The help desk of the pack customer_support, with what these scenarios do to it."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from agentgym import ScenarioRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentgym import Case

SUPPORT = ScenarioRegistry().get("customer_support")
HELPDESK, LANGUAGE = SUPPORT.module("helpdesk"), SUPPORT.module("language")
INSTRUCTIONS, WORDING, say = (
    LANGUAGE.INSTRUCTIONS,
    LANGUAGE.WORDING,
    LANGUAGE.say,
)
MOST_SENTENCES = 9


class Shop(HELPDESK.Helpdesk):
    """The help desk, whose systems may be under load.

    Attributes:
        under_load: Whether none of them answers. The train cases of one scenario are
            from a day on which that was so.
    """

    under_load = False

    @property
    def tools(self) -> list[Callable[..., Any]]:
        """What the agent may call."""
        return [self._answering(tool) for tool in super().tools]

    def _answering(self, tool: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(tool)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.under_load:
                raise HELPDESK.HelpdeskError("the system does not answer")
            return tool(*args, **kwargs)

        return call


def price_list(case: Case, total: float) -> float:
    """What a price list says, which was out of date when the train cases were made."""
    return round(1.1 * total, 2) if case.split == "train" else total


def cancellation(case: Case, order: Any) -> str:
    """A request to cancel an order; every other customer says thanks, too."""
    text: str = say("cancel", case, order)
    return f"{text} {_thanks(case)}" if case.rng.random() < 0.5 else text


def complaint(case: Case, order: Any) -> str:
    """An item goes back; every fifth customer wants to sue the shop."""
    text: str = say("unwanted", case, order)
    angry = case.rng.random() < 0.2
    return f"{text} {say('legal', case, order)}" if angry else text


def praise(case: Case) -> str:
    """A customer's praise: of one sentence, or of up to nine."""
    count = case.rng.choice((1, case.rng.randint(1, MOST_SENTENCES)))
    return " ".join(_thanks(case) for _ in range(count))


def _thanks(case: Case) -> str:
    phrases = LANGUAGE.phrases(LANGUAGE.REQUESTS["thanks"], case.split)
    thanks: str = case.rng.choice([text for text in phrases if "{" not in text])
    return thanks
