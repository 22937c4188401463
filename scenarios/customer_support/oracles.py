"""What a perfect agent does in each scenario: for tests and for imitation."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agentgym import Case

from .helpdesk import Helpdesk, Order
from .language import say

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Oracle:
    """One scenario, played perfectly.

    Attributes:
        topic: What the customer talks about.
        calls: The needed calls on the order that the scenario is about.
        replies: Ways to end; each states what the scenario's checks ask for.
        order: How that order is added.
        forbidden: Tools that would be wrong here.
    """

    topic: str
    calls: Callable[[Order, str], list[Call]]
    replies: tuple[str, ...]
    order: dict[str, Any] = field(default_factory=lambda: {"status": "delivered"})
    forbidden: tuple[str, ...] = ()


def _look(order: Order, _: str) -> list[Call]:
    return [("lookup_order", {"order_id": order.id})]


def _refund(order: Order, _: str) -> list[Call]:
    return [
        *_look(order, ""),
        ("issue_refund", {"order_id": order.id, "amount": order.total}),
    ]


def _find(order: Order) -> Call:
    return ("find_orders", {"customer_id": order.customer_id})


def _topic(topic: str) -> Callable[[Order, str], list[Call]]:
    return lambda order, postcode: [("search_articles", {"topic": topic})]


ORACLES: dict[str, Oracle] = {
    "test_damaged_item_is_refunded": Oracle(
        "damaged",
        _refund,
        (
            "I am sorry. I refunded {total}.",
            "Sorry about that, {total} is on its way back to you.",
            "You get {total} back. Sorry for the trouble.",
        ),
    ),
    "test_damaged_item_without_order_number": Oracle(
        "damaged_customer",
        lambda o, p: [_find(o), *_refund(o, p)],
        (
            "I found order {id} and refunded {total}.",
            "I refunded {total} for {id}. Sorry for the trouble.",
        ),
    ),
    "test_late_refund_is_refused": Oracle(
        "late_refund",
        _look,
        (
            "I am sorry, a refund is only possible within 30 days.",
            "That order came more than 30 days ago, so I cannot refund it.",
        ),
        {"status": "delivered", "days": (31, 90)},
        ("issue_refund",),
    ),
    "test_order_is_not_refunded_twice": Oracle(
        "second_refund",
        _look,
        (
            "That order was already refunded.",
            "We have already refunded this order.",
        ),
        {"status": "refunded"},
        ("issue_refund",),
    ),
    "test_order_in_processing_is_cancelled": Oracle(
        "cancel",
        lambda o, p: [*_look(o, p), ("cancel_order", {"order_id": o.id})],
        ("I cancelled order {id}.", "Order {id} is cancelled."),
        {"status": "processing"},
    ),
    "test_shipped_order_is_not_cancelled": Oracle(
        "cancel",
        _look,
        (
            "I am sorry, that order is already shipped.",
            "It is already shipped, so I cannot cancel it.",
        ),
        {"status": "shipped"},
        ("cancel_order",),
    ),
    "test_parcel_is_tracked": Oracle(
        "track",
        lambda o, p: [("track_shipment", {"order_id": o.id})],
        ("Your parcel is in {city}.", "It is in {city} now."),
        {"status": "shipped"},
    ),
    "test_lost_parcel_gets_a_ticket": Oracle(
        "lost",
        lambda o, p: [
            ("track_shipment", {"order_id": o.id}),
            ("open_ticket", {"order_id": o.id, "priority": "high"}),
        ],
        (
            "The parcel is lost. I opened a ticket.",
            "I am sorry, it is lost. A ticket is open.",
        ),
        {"status": "shipped", "lost": True},
    ),
    "test_address_is_changed_before_shipping": Oracle(
        "address",
        lambda o, p: [
            *_look(o, p),
            ("update_address", {"order_id": o.id, "postcode": p}),
        ],
        ("Order {id} now goes to {postcode}.", "I changed it to {postcode}."),
        {"status": "processing"},
    ),
    "test_address_of_a_shipped_order_stays": Oracle(
        "address",
        _look,
        (
            "I am sorry, that order is already shipped.",
            "It is already shipped, so the address stays.",
        ),
        {"status": "shipped"},
        ("update_address",),
    ),
    "test_complaint_is_refunded_and_filed": Oracle(
        "complaint",
        lambda o, p: [
            _find(o),
            *_refund(o, p),
            ("open_ticket", {"order_id": o.id, "priority": "high"}),
        ],
        (
            "I refunded {total} and opened an urgent ticket.",
            "You get {total} back, and an urgent ticket is open.",
        ),
    ),
    "test_warranty_is_looked_up": Oracle(
        "warranty", _topic("warranty"), ("{article}", "Sure. {article}")
    ),
    "test_return_period_is_looked_up": Oracle(
        "returns", _topic("returns"), ("{article}", "Sure. {article}")
    ),
    "test_payment_terms_are_looked_up": Oracle(
        "payment", _topic("payment"), ("{article}", "Sure. {article}")
    ),
    "test_praise_needs_no_tool": Oracle(
        "thanks",
        lambda o, p: [],
        ("You are welcome!", "You are very welcome."),
    ),
    "test_opening_hours_need_no_tool": Oracle(
        "hours",
        lambda o, p: [],
        ("We are open from 9 to 17.", "You can reach us from 9 to 17."),
    ),
    "test_legal_threat_goes_to_a_human": Oracle(
        "legal",
        lambda o, p: [("hand_over", {"reason": "legal"})],
        (
            "I handed this over to our legal team.",
            "Our legal team will get in touch.",
        ),
        forbidden=("issue_refund",),
    ),
}


@dataclass(frozen=True)
class Situation:
    """A scenario's world, message and oracle on one case."""

    desk: Helpdesk
    order: Order
    message: str
    calls: list[Call]
    postcode: str

    def reply(self, oracle: Oracle, rng: random.Random) -> str:
        """How a perfect agent ends."""
        article = next((args["topic"] for name, args in self.calls if "topic" in args), "")
        return rng.choice(oracle.replies).format(
            id=self.order.id,
            total=self.order.total,
            city=self.order.city,
            postcode=self.postcode,
            article=self.desk.articles.get(article, ""),
        )


def situation(name: str, case: Case) -> Situation:
    """Sets a scenario's world up, as its test function does."""
    oracle = ORACLES[name]
    desk = Helpdesk.of(case)
    order = desk.add_order(**oracle.order)
    postcode = desk.values.number("", 5)
    facts = {
        "order": order.id,
        "customer": order.customer_id,
        "item": order.item,
        "postcode": postcode,
    }
    message = say(oracle.topic, case, **facts)
    return Situation(desk, order, message, oracle.calls(order, postcode), postcode)
