"""The shop whose data it is: what a scenario adds before the agent runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .database import Database, Table
from .values import Values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentgym import Case


@dataclass
class Customer:
    """A customer."""

    id: str
    name: str
    city: str


@dataclass
class Order:
    """An order; nobody knows what it cost if it has no amount."""

    id: str
    customer_id: str
    brand: str
    amount: int | None
    month: str
    status: str


@dataclass
class Shop:
    """Its customers, orders and words.

    Attributes:
        months: When most orders were.
        amount: The column that says what an order cost.
        extra: Another column of the customers, and its number for each of their ids.
        others: Further tables.
        terms: The glossary: conditions by the terms that they define.
    """

    values: Values
    months: list[str] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    amount: str = "amount"
    extra: tuple[str, dict[str, int]] | None = None
    others: dict[str, Table] = field(default_factory=dict)
    terms: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case) -> Shop:
        """A shop with some customers, and the orders of three brands."""
        shop = cls(Values(case))
        shop.months = shop.values.months(4)
        for _ in range(3):
            shop.add_customer()
        for _ in range(3):
            shop.add_orders(3)
        first, last = shop.values.months(2)
        big, small = shop.values.limits()
        shop.terms = {
            "big order": f"amount > {big}",
            "small order": f"amount < {small}",
            "old order": f"month < '{first}'",
            "new order": f"month > '{last}'",
        }
        return shop

    def add_customer(self, name: str = "") -> Customer:
        """Adds a customer in a city of their own."""
        values = self.values
        id_, name = values.number("C", 3), name or values.name()
        customer = Customer(id_, name, values.name())
        self.customers.append(customer)
        return customer

    def add_orders(
        self,
        prices: int | Iterable[int | None],
        *,
        brand: str = "",
        month: str = "",
        status: str = "",
        customers: Iterable[Customer] = (),
    ) -> list[Order]:
        """Adds orders of one brand.

        Args:
            prices: What they cost, or of how many of them to draw that.
            brand: By default a new one.
            month: By default one of the shop's months.
            status: By default paid or sent.
            customers: Who ordered, in turn; by default anyone.
        """
        values, rng = self.values, self.values.rng
        brand = brand or values.name()
        if isinstance(prices, int):
            prices = values.amounts(prices)
        who = list(customers) or rng.sample(self.customers, len(self.customers))
        added = [
            Order(
                id=values.number("A", 4),
                customer_id=who[i % len(who)].id,
                brand=brand,
                amount=price,
                month=month or rng.choice(self.months),
                status=status or rng.choice(("paid", "sent")),
            )
            for i, price in enumerate(prices)
        ]
        self.orders += added
        return added

    @property
    def sales(self) -> dict[str, int]:
        """What each brand's orders cost together."""
        return {
            brand: sum(o.amount or 0 for o in self.orders if o.brand == brand)
            for brand in sorted({order.brand for order in self.orders})
        }

    def database(self) -> Database:
        """All of it in SQLite."""
        return Database(
            {"customers": self._customers(), "orders": self._orders(), **self.others}
        )

    def _customers(self) -> Table:
        columns = dict.fromkeys(("customer_id", "name", "city"), "TEXT")
        rows = [(c.id, c.name, c.city) for c in self.customers]
        if self.extra is None:
            return Table(columns, rows)
        column, numbers = self.extra
        rows = [(*row, numbers[row[0]]) for row in rows]
        return Table(columns | {column: "INTEGER"}, rows)

    def _orders(self) -> Table:
        columns = {
            "order_id": "TEXT",
            "customer_id": "TEXT",
            "brand": "TEXT",
            self.amount: "INTEGER",
            "month": "TEXT",
            "status": "TEXT",
        }
        return Table(columns, [tuple(vars(order).values()) for order in self.orders])
