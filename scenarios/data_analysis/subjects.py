"""What a scenario is about: each function adds it to the shop, and names its facts."""

from __future__ import annotations

from types import SimpleNamespace as Facts
from typing import TYPE_CHECKING

from .database import Table

if TYPE_CHECKING:
    from .warehouse import Warehouse

UNITS = (
    "pieces",
    "units",
    "items",
    "boxes",
    "packs",
    "bags",
    "crates",
    "bundles",
    "trays",
)
EXTRAS = (
    "points",
    "credits",
    "visits",
    "calls",
    "stars",
    "coupons",
    "badges",
    "awards",
    "miles",
)
AMOUNTS = (
    "amount_eur",
    "amount_usd",
    "amount_net",
    "amount_gross",
    "amount_total",
    "amount_paid",
    "amount_jpy",
    "amount_nok",
    "amount_dkk",
)
"""Names of columns; both splits know all of them."""


def brand(warehouse: Warehouse) -> Facts:
    """A brand and its sales."""
    orders = warehouse.shop.add_orders(4)
    return Facts(brand=orders[0].brand, total=_total(orders))


def unknown_brand(warehouse: Warehouse) -> Facts:
    """A brand that nobody ever ordered."""
    return Facts(brand=warehouse.shop.values.name(), brands=list(warehouse.shop.sales))


def renamed_column(warehouse: Warehouse) -> Facts:
    """A brand, and a table that is no longer as the instructions say."""
    shop = warehouse.shop
    shop.amount = shop.values.word(AMOUNTS)
    return Facts(**vars(brand(warehouse)), column=shop.amount)


def open_orders(warehouse: Warehouse) -> Facts:
    """A brand with some open orders; other brands have some, too."""
    shop, rng = warehouse.shop, warehouse.shop.values.rng
    n = shop.values.count()
    asked = shop.add_orders(n, status="open")[0].brand
    for other in (asked, ""):
        shop.add_orders(rng.randint(2, 5), brand=other)
    shop.add_orders(n + rng.choice((-1, 1)), status="open")
    return Facts(brand=asked, count=n)


def best_brand(warehouse: Warehouse) -> Facts:
    """A brand that sold most, with orders that are small ones."""
    shop = warehouse.shop
    most, n = max(shop.sales.values()), 6
    orders = shop.add_orders(shop.values.amounts(n, most // n + 1, most // n + 199))
    return Facts(brand=orders[0].brand, total=_total(orders))


def city(warehouse: Warehouse) -> Facts:
    """A city of two customers, and what they bought."""
    shop = warehouse.shop
    first, second = shop.add_customer(), shop.add_customer()
    second.city = first.city
    orders = shop.add_orders(4, customers=(first, second))
    return Facts(city=first.city, total=_total(orders))


def two_months(warehouse: Warehouse) -> Facts:
    """A brand in two months, of which one was better, and in a third."""
    shop = warehouse.shop
    first, second = shop.values.months(2)
    orders = shop.add_orders(2, month=first)
    asked = orders[0].brand
    later = shop.add_orders(2, brand=asked, month=second)
    shop.add_orders(2, brand=asked)
    shop.add_orders(2, month=first)
    totals = {_total(orders): first, _total(later): second}
    better, worse = max(totals), min(totals)
    return Facts(
        brand=asked,
        first=first,
        second=second,
        better=totals[better],
        worse=totals[worse],
        total=better,
        less=worse,
    )


def unpriced_orders(warehouse: Warehouse) -> Facts:
    """A brand some orders of which have no amount."""
    shop, rng = warehouse.shop, warehouse.shop.values.rng
    n = shop.values.count()
    asked = shop.add_orders([None] * n)[0].brand
    m = n + rng.choice((-1, 1))
    shop.add_orders(m, brand=asked)
    shop.add_orders([None, None])
    return Facts(brand=asked, count=n)


def term(warehouse: Warehouse) -> Facts:
    """A term about amounts, and how many orders of a brand are meant by it."""
    shop, values = warehouse.shop, warehouse.shop.values
    asked = values.rng.choice(("big order", "small order"))
    limit = int(shop.terms[asked].split()[-1])
    n = values.count()
    # One order on each side of the limit, so that a wrong limit gives a wrong number.
    if asked == "big order":
        inside, outside, near = (601, 900), (310, 400), limit + 1
    else:
        inside, outside, near = (20, 200), (610, 900), limit - 1
    meant = [near, *(values.amount(*inside) for _ in range(n - 1))]
    others = [limit, *(values.amount(*outside) for _ in range(2))]
    name = shop.add_orders(meant)[0].brand
    shop.add_orders(others, brand=name)
    return Facts(brand=name, term=asked, means=shop.terms[asked], count=n)


def customer(warehouse: Warehouse) -> Facts:
    """A customer, and what they bought."""
    one = warehouse.shop.add_customer()
    orders = warehouse.shop.add_orders(3, customers=[one])
    return Facts(name=one.name, id=one.id, city=one.city, total=_total(orders))


def namesakes(warehouse: Warehouse) -> Facts:
    """Two customers who share a name."""
    shop = warehouse.shop
    one = shop.add_customer()
    other = shop.add_customer(one.name)
    for each in (one, other):
        shop.add_orders(2, customers=[each])
    cities = sorted((one.city, other.city))
    return Facts(name=one.name, city=cities[0], other_city=cities[1])


def extra_column(warehouse: Warehouse) -> Facts:
    """A customer, and something that the database knows of them all the same."""
    shop = warehouse.shop
    facts = missing_column(warehouse)
    numbers = shop.values.amounts(len(shop.customers))
    of = dict(zip((c.id for c in shop.customers), numbers, strict=True))
    shop.extra = (facts.column, of)
    return Facts(**vars(facts), number=numbers[-1])


def missing_column(warehouse: Warehouse) -> Facts:
    """A customer, and something that the database does not know of them."""
    column = warehouse.shop.values.word(EXTRAS)
    return Facts(name=warehouse.shop.add_customer().name, column=column)


def returns(warehouse: Warehouse) -> Facts:
    """A table of returns, a brand in it, and another table beside it."""
    shop, values = warehouse.shop, warehouse.shop.values
    column = values.word(UNITS)
    for topic in ("returns", "stock"):
        table = Table({"brand": "TEXT", column: "INTEGER"})
        numbers = {name: values.amounts(2) for name in shop.sales}
        table.rows = [(name, n) for name, both in numbers.items() for n in both]
        shop.others[values.number(f"{topic}_", 3)] = table
        if topic == "returns":
            returned = {name: sum(both) for name, both in numbers.items()}
    name = values.rng.choice(list(returned))
    return Facts(
        brand=name,
        column=column,
        table=next(iter(shop.others)),
        returned=returned,
        total=returned[name],
    )


def sales(warehouse: Warehouse) -> Facts:
    """The sales of each brand."""
    return Facts(sales=warehouse.shop.sales)


def trend(warehouse: Warehouse) -> Facts:
    """A brand in three months."""
    shop = warehouse.shop
    months = shop.values.months(3)
    asked = shop.values.name()
    return Facts(
        brand=asked,
        sales={m: _total(shop.add_orders(2, brand=asked, month=m)) for m in months},
    )


def taken_name(warehouse: Warehouse) -> Facts:
    """The sales of each brand, and the name of a report that exists."""
    name = warehouse.shop.values.report()
    old = {warehouse.shop.values.name(): warehouse.shop.values.amounts(1)[0]}
    warehouse.write_report(name, old.items())
    return Facts(report=name, free=warehouse.free_name(name), old=old)


def new_report(warehouse: Warehouse) -> Facts:
    """A table of returns, and the name of a report to come."""
    return Facts(**vars(returns(warehouse)), report=warehouse.shop.values.report())


def _total(orders: list) -> int:
    return sum(order.amount for order in orders)
