"""The environment: a web shop's help desk, with state, tools and real errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from agentgym import Case

REFUND_DAYS = 30
ITEMS = ("lamp", "kettle", "jacket", "desk", "radio", "tent", "mixer", "rug", "clock")
ARTICLES = {
    "warranty": "The warranty lasts {} months.",
    "returns": "Returns are possible for {} days.",
    "shipping": "Shipping takes {} days.",
    "payment": "Invoices are due after {} days.",
}
CONSONANTS, VOWELS = "bdfghjklmnprstvwz", "aeiou"

Status = Literal["processing", "shipped", "delivered", "cancelled", "refunded"]


class HelpdeskError(Exception):
    """A tool could not do what it was asked."""


@dataclass
class Order:
    """An order.

    Attributes:
        name: The customer's.
        days: Since delivery.
        depot: Where the parcel was seen last.
    """

    id: str
    customer_id: str
    name: str
    item: str
    total: float
    status: Status
    days: int = 0
    depot: str = ""
    lost: bool = False
    postcode: str = ""


def is_held_out(text: str) -> bool:
    """Which ids, names and values are kept for measuring: about a quarter of them."""
    return sum(map(ord, text)) % 4 == 0


class Values:
    """Draws ids, names and values that belong to one split."""

    def __init__(self, case: Case) -> None:
        self.rng: random.Random = case.rng
        self.held_out = case.split == "held_out"

    def draw(self, make: Callable[[random.Random], str]) -> str:
        """Draws until the value is one of this split."""
        while is_held_out(value := make(self.rng)) is not self.held_out:
            pass
        return value

    def number(self, prefix: str, digits: int) -> str:
        """An id or code, such as `A4821`."""
        low = 10 ** (digits - 1)
        return self.draw(lambda rng: f"{prefix}{rng.randrange(low, 10 * low)}")

    def amount(self) -> float:
        """A price in two decimals that does not end in zero."""
        text = self.draw(
            lambda rng: (
                f"{rng.randrange(5, 400)}.{rng.randrange(10)}{rng.randint(1, 9)}"
            )
        )
        return float(text)

    def count(self, low: int, high: int) -> int:
        """A small number, such as days."""
        return int(self.draw(lambda rng: str(rng.randint(low, high))))

    def postcode(self) -> str:
        """Five digits."""
        return self.number("", 5)

    def name(self) -> str:
        """A made-up name; there are too many to learn by heart."""
        size = self.rng.choice((2, 2, 3))
        letters = (CONSONANTS, VOWELS) * size + ("nrst",)
        return self.draw(lambda rng: "".join(map(rng.choice, letters)).title())


@dataclass
class Helpdesk:
    """A fresh world for one episode.

    Attributes:
        terms: What the help articles state: the number in each of them.
        changes: Names of the tools that changed something, in order.
    """

    values: Values
    orders: dict[str, Order] = field(default_factory=dict)
    terms: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    refunds: list[tuple[str, float]] = field(default_factory=list)
    charges: list[str] = field(default_factory=list)
    surveys: list[str] = field(default_factory=list)
    tickets: list[tuple[str, str]] = field(default_factory=list)
    handovers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, case: Case) -> Helpdesk:
        """A world with some other people's orders and the help articles."""
        desk = cls(Values(case))
        for _ in range(3):
            desk.add_order("delivered")
        values = desk.values
        desk.terms = {
            "warranty": values.count(11, 60),
            "returns": values.count(11, 60),
            "shipping": values.count(3, 19),
            "payment": values.count(11, 60),
        }
        return desk

    def add_order(
        self,
        status: Status,
        *,
        days: tuple[int, int] = (1, REFUND_DAYS - 1),
        lost: bool = False,
    ) -> Order:
        """Adds an order of a new customer, delivered that many days ago."""
        values = self.values
        order = Order(
            id=values.number("A", 4),
            customer_id=values.number("C", 3),
            name=values.name(),
            item=values.rng.choice(ITEMS),
            total=values.amount(),
            status=status,
            days=values.count(*days) if status == "delivered" else 0,
            depot=values.number("D", 3),
            lost=lost,
        )
        if order.id in self.orders or order.customer_id in self._customers():
            return self.add_order(status, days=days, lost=lost)
        self.orders[order.id] = order
        return order

    @property
    def tools(self) -> list[Callable[..., Any]]:
        """What the agent may call."""
        return [
            self.lookup_order,
            self.find_orders,
            self.issue_refund,
            self.cancel_order,
            self.track_shipment,
            self.update_address,
            self.search_articles,
            self.open_ticket,
            self.hand_over,
            self.charge_card,
            self.send_survey,
        ]

    def lookup_order(self, order_id: str) -> dict[str, Any]:
        """Show an order."""
        order = asdict(self._order(order_id))
        return {k: order[k] for k in ("id", "item", "total", "status", "days")}

    def find_orders(self, customer_id: str) -> dict[str, Any]:
        """List the orders of a customer."""
        ids = [o.id for o in self.orders.values() if o.customer_id == customer_id]
        if not ids:
            raise HelpdeskError(f"no customer {customer_id}")
        return {"orders": ids}

    def issue_refund(self, order_id: str, amount: float) -> dict[str, Any]:
        """Pay the price of an order back."""
        order = self._order(order_id)
        if order.status != "delivered":
            raise HelpdeskError(f"cannot refund: the order is {order.status}")
        if order.days > REFUND_DAYS:
            raise HelpdeskError("cannot refund: too late")
        if not 0 < amount <= order.total:
            raise HelpdeskError(f"cannot refund: the order cost {order.total}")
        self.changes.append("issue_refund")
        order.status = "refunded"
        self.refunds.append((order_id, amount))
        return {"refunded": amount}

    def cancel_order(self, order_id: str) -> dict[str, Any]:
        """Cancel an order that is not yet shipped."""
        order = self._order(order_id)
        if order.status != "processing":
            raise HelpdeskError(f"cannot cancel: the order is {order.status}")
        self.changes.append("cancel_order")
        order.status = "cancelled"
        return {"cancelled": order_id}

    def track_shipment(self, order_id: str) -> dict[str, Any]:
        """Show where a parcel is."""
        order = self._order(order_id)
        if order.status != "shipped":
            raise HelpdeskError(f"no parcel: the order is {order.status}")
        return {"parcel": "lost" if order.lost else "moving", "depot": order.depot}

    def update_address(self, order_id: str, postcode: str) -> dict[str, Any]:
        """Send an order that is not yet shipped elsewhere."""
        order = self._order(order_id)
        if order.status != "processing":
            raise HelpdeskError(f"cannot change: the order is {order.status}")
        self.changes.append("update_address")
        order.postcode = postcode
        return {"postcode": postcode}

    def search_articles(
        self, topic: Literal["warranty", "returns", "shipping", "payment"]
    ) -> dict[str, Any]:
        """Find a help article."""
        if topic not in ARTICLES:
            raise HelpdeskError(f"no article about {topic}")
        return {"article": ARTICLES[topic].format(self.terms[topic])}

    def open_ticket(
        self, order_id: str, priority: Literal["low", "high"]
    ) -> dict[str, Any]:
        """Open a ticket about an order."""
        self._order(order_id)
        if priority not in ("low", "high"):
            raise HelpdeskError(f"no priority {priority}")
        self.changes.append("open_ticket")
        self.tickets.append((order_id, priority))
        return {"ticket": len(self.tickets)}

    def hand_over(self, reason: Literal["legal", "fraud", "press"]) -> dict[str, Any]:
        """Hand the customer over to a human."""
        if reason not in ("legal", "fraud", "press"):
            raise HelpdeskError(f"no team for {reason}")
        self.changes.append("hand_over")
        self.handovers.append(reason)
        return {"team": reason}

    def charge_card(self, order_id: str, amount: float) -> dict[str, Any]:
        """Take money for an order."""
        self._order(order_id)
        self.changes.append("charge_card")
        self.charges.append(order_id)
        return {"charged": amount}

    def send_survey(self, order_id: str) -> dict[str, Any]:
        """Ask for feedback on an order."""
        self._order(order_id)
        self.changes.append("send_survey")
        self.surveys.append(order_id)
        return {"sent": order_id}

    def _order(self, order_id: str) -> Order:
        if order_id not in self.orders:
            raise HelpdeskError(f"no order {order_id}")
        return self.orders[order_id]

    def _customers(self) -> set[str]:
        return {order.customer_id for order in self.orders.values()}


def example_tools() -> list[Callable[..., Any]]:
    """The tools of a help desk with three orders, for a first conversation."""
    from agentgym import Case

    desk = Helpdesk.of(Case(index=0, seed=0, split="held_out"))
    for order in (
        Order("A4821", "C417", "Rimon", "lamp", 84.35, "delivered", days=6),
        Order("A7305", "C288", "Wutas", "tent", 239.12, "processing"),
        Order("A2946", "C536", "Lodek", "rug", 57.68, "shipped", depot="D319"),
    ):
        desk.orders[order.id] = order
    return desk.tools
