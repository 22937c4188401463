"""What a perfect agent does in each scenario: for tests and for imitation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .helpdesk import ARTICLES, Helpdesk, Order
from .language import say

if TYPE_CHECKING:
    import random

    from agentgym import Case

Call = tuple[str, dict[str, Any]]

FIND: Call = ("find_orders", {"customer_id": "{customer}"})
LOOK: Call = ("lookup_order", {"order_id": "{id}"})
REFUND: Call = ("issue_refund", {"order_id": "{id}", "amount": "{total}"})
CANCEL: Call = ("cancel_order", {"order_id": "{id}"})
TRACK: Call = ("track_shipment", {"order_id": "{id}"})
REDIRECT: Call = ("update_address", {"order_id": "{id}", "postcode": "{postcode}"})
URGENT: Call = ("open_ticket", {"order_id": "{id}", "priority": "high"})
LAWYER: Call = ("hand_over", {"reason": "legal"})
GENERAL = (*ARTICLES, "hours")
"""Topics that are about no order."""


def read(topic: str) -> Call:
    """Looks an article up."""
    return ("search_articles", {"topic": topic})


@dataclass(frozen=True)
class Oracle:
    """One scenario, played perfectly; `{...}` stands for a fact of the case.

    Attributes:
        topic: What the customer talks about.
        calls: The needed calls, in order.
        replies: Ways to end; each states what the scenario's checks ask for.
        order: How the order that it is all about is added.
        forbidden: Tools that would be wrong here.
        tries: Positions of calls that may be left out: none here.
    """

    topic: str
    calls: tuple[Call, ...]
    replies: tuple[str, ...]
    order: dict[str, Any] = field(default_factory=lambda: {"status": "delivered"})
    forbidden: tuple[str, ...] = ()
    tries: tuple[int, ...] = ()


ORACLES: dict[str, Oracle] = {
    "test_damaged_item_is_refunded": Oracle(
        "damaged",
        (LOOK, REFUND),
        (
            "I am sorry. I refunded {total}.",
            "Sorry about that, {total} is on its way back to you.",
            "You get {total} back. Sorry for the trouble.",
        ),
    ),
    "test_damaged_item_without_order_number": Oracle(
        "damaged_customer",
        (FIND, LOOK, REFUND),
        (
            "I found order {id} and refunded {total}.",
            "I refunded {total} for {id}. Sorry for the trouble.",
        ),
    ),
    "test_unwanted_item_is_refunded_in_time": Oracle(
        "unwanted",
        (LOOK, REFUND),
        ("I refunded {total} for {id}.", "You get {total} back for order {id}."),
    ),
    "test_late_refund_is_refused": Oracle(
        "unwanted",
        (LOOK,),
        (
            "I am sorry, a refund is only possible within 30 days.",
            "That order came more than 30 days ago, so I cannot refund it.",
        ),
        {"status": "delivered", "days": (31, 90)},
        ("issue_refund",),
    ),
    "test_order_is_not_refunded_twice": Oracle(
        "second_refund",
        (LOOK,),
        (
            "That order was already refunded.",
            "We have already refunded this order.",
        ),
        {"status": "refunded"},
        ("issue_refund",),
    ),
    "test_order_in_processing_is_cancelled": Oracle(
        "cancel",
        (LOOK, CANCEL),
        ("I cancelled order {id}.", "Order {id} is cancelled."),
        {"status": "processing"},
    ),
    "test_shipped_order_is_not_cancelled": Oracle(
        "cancel",
        (LOOK,),
        (
            "I am sorry, that order is already shipped.",
            "It is already shipped, so I cannot cancel it.",
        ),
        {"status": "shipped"},
        ("cancel_order",),
    ),
    "test_parcel_is_tracked": Oracle(
        "track",
        (TRACK,),
        ("Your parcel is at depot {depot}.", "It is at {depot} now."),
        {"status": "shipped"},
    ),
    "test_lost_parcel_gets_a_ticket": Oracle(
        "lost",
        (TRACK, URGENT),
        (
            "The parcel is lost. I opened a ticket.",
            "I am sorry, it is lost. A ticket is open.",
        ),
        {"status": "shipped", "lost": True},
    ),
    "test_address_is_changed_before_shipping": Oracle(
        "address",
        (LOOK, REDIRECT),
        ("Order {id} now goes to {postcode}.", "I changed it to {postcode}."),
        {"status": "processing"},
    ),
    "test_address_of_a_shipped_order_stays": Oracle(
        "address",
        (LOOK,),
        (
            "I am sorry, that order is already shipped.",
            "It is already shipped, so the address stays.",
        ),
        {"status": "shipped"},
        ("update_address",),
    ),
    "test_complaint_is_refunded_and_filed": Oracle(
        "complaint",
        (FIND, LOOK, REFUND, URGENT),
        (
            "I refunded {total} and opened an urgent ticket.",
            "You get {total} back, and an urgent ticket is open.",
        ),
    ),
    "test_warranty_is_looked_up": Oracle(
        "warranty", (read("warranty"),), ("{article}", "Sure. {article}")
    ),
    "test_return_period_is_looked_up": Oracle(
        "returns", (read("returns"),), ("{article}", "Sure. {article}")
    ),
    "test_payment_terms_are_looked_up": Oracle(
        "payment", (read("payment"),), ("{article}", "Sure. {article}")
    ),
    "test_praise_needs_no_tool": Oracle(
        "thanks",
        (),
        ("You are welcome!", "You are very welcome."),
    ),
    "test_opening_hours_need_no_tool": Oracle(
        "hours",
        (),
        ("We are open from 9 to 17.", "You can reach us from 9 to 17."),
    ),
    "test_legal_threat_goes_to_a_human": Oracle(
        "legal",
        (LAWYER,),
        (
            "I handed this over to our legal team.",
            "Our legal team will get in touch.",
        ),
        forbidden=("issue_refund",),
    ),
}


@dataclass(frozen=True)
class Situation:
    """A scenario on one case: its world, its message and what is to be done.

    Attributes:
        facts: What the placeholders of the oracle stand for.
        calls: The needed calls, in order.
    """

    oracle: Oracle
    world: Helpdesk
    order: Order
    facts: dict[str, Any]
    message: str
    calls: list[Call]

    def reply(self, rng: random.Random) -> str:
        """How a perfect agent ends."""
        return rng.choice(self.oracle.replies).format(**self.facts)


def situation(name: str, case: Case, spoken_as: Case | None = None) -> Situation:
    """Sets a scenario's world up, as its test function does.

    Args:
        name: The scenario's.
        case: Where ids, names and values come from.
        spoken_as: Whose split's phrases the customer uses; by default the case's own.
    """
    oracle = ORACLES[name]
    desk = Helpdesk.of(case)
    order = desk.add_order(**oracle.order)
    postcode = desk.values.postcode()
    article = ARTICLES.get(oracle.topic, "")
    facts = {
        "id": order.id,
        "customer": order.customer_id,
        "total": order.total,
        "depot": order.depot,
        "postcode": postcode,
        "article": article.format(desk.terms.get(oracle.topic)),
    }
    return Situation(
        oracle=oracle,
        world=desk,
        order=order,
        facts=facts,
        message=say(
            oracle.topic,
            spoken_as or case,
            None if oracle.topic in GENERAL else order,
            postcode=postcode,
        ),
        calls=[
            (name, {key: facts.get(v.strip("{}"), v) for key, v in arguments.items()})
            for name, arguments in oracle.calls
        ],
    )
