"""What a perfect agent does in each scenario: for tests and for imitation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import subjects
from .language import say
from .warehouse import Warehouse

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from agentgym import Case

Call = tuple[str, dict[str, Any]]

SUM_OF_BRAND = "SELECT SUM({}) FROM orders WHERE brand = '{{brand}}'"
BY_BRAND = "SELECT brand, SUM({}) FROM {} GROUP BY brand"
OPEN = "SELECT COUNT(*) FROM orders WHERE brand = '{brand}' AND status = 'open'"


def query(sql: str) -> Call:
    """Asks the database."""
    return ("run_query", {"sql": sql})


def describe(table: str) -> Call:
    """Looks which columns a table has."""
    return ("describe_table", {"table": table})


def chart(kind: str) -> Call:
    """Draws the first result."""
    return ("make_chart", {"result": "{result}", "kind": kind})


def save(name: str) -> Call:
    """Saves the first result."""
    return ("save_report", {"result": "{result}", "name": name})


@dataclass(frozen=True)
class Oracle:
    """One scenario, played perfectly; `{...}` stands for a fact of the case.

    Attributes:
        topic: What the message is about.
        subject: Adds to the world what it is about, as the scenario does.
        calls: The calls, in order.
        replies: Ways to end; each states what the scenario's checks ask for.
        tries: Positions of calls that a bold or a lucky agent leaves out: one that
            fails for a reason that is seen only then, a look that proves needless.
        forbidden: Tools that would be wrong here.
    """

    topic: str
    subject: Callable[[Warehouse], subjects.Facts]
    calls: tuple[Call, ...]
    replies: tuple[str, ...]
    tries: tuple[int, ...] = ()
    forbidden: tuple[str, ...] = ()


TOTAL = ("The sales of {brand} are {total}.", "{brand} sold {total} in all.")
COUNT = ("{brand} has {count} open orders.", "There are {count} open orders.")

ORACLES: dict[str, Oracle] = {
    "test_sales_of_a_brand": Oracle(
        "sales", subjects.brand, (query(SUM_OF_BRAND.format("amount")),), TOTAL
    ),
    "test_open_orders_are_counted": Oracle(
        "open", subjects.open_orders, (query(OPEN),), COUNT
    ),
    "test_best_brand_is_named": Oracle(
        "best",
        subjects.best_brand,
        (query(BY_BRAND.format("amount", "orders") + " ORDER BY 2 DESC LIMIT 1"),),
        ("{brand} sold most: {total}.", "The best brand is {brand} with {total}."),
    ),
    "test_sales_of_a_city_need_two_tables": Oracle(
        "city",
        subjects.city,
        (
            query(
                "SELECT SUM(amount) FROM orders JOIN customers USING (customer_id) "
                "WHERE city = '{city}'"
            ),
        ),
        ("The sales in {city} are {total}.", "Customers in {city} bought {total}."),
    ),
    "test_better_month_is_named": Oracle(
        "months",
        subjects.two_months,
        (
            query(
                "SELECT month, SUM(amount) FROM orders WHERE brand = '{brand}' "
                "AND month IN ('{first}', '{second}') GROUP BY month ORDER BY 2 DESC"
            ),
        ),
        ("{better} was better, with {total}.", "It sold more in {better}: {total}."),
    ),
    "test_orders_without_amount_are_counted": Oracle(
        "unpriced",
        subjects.unpriced_orders,
        (
            query(
                "SELECT COUNT(*) FROM orders WHERE brand = '{brand}' AND amount IS NULL"
            ),
        ),
        ("{count} orders have no amount.", "The amount is missing in {count} orders."),
    ),
    "test_unknown_brand_has_no_sales": Oracle(
        "sales",
        subjects.unknown_brand,
        (query(SUM_OF_BRAND.format("amount")),),
        ("There are no orders of {brand}.", "The data has no brand {brand}."),
    ),
    "test_column_that_is_new_is_used": Oracle(
        "extra",
        subjects.extra_column,
        (
            describe("customers"),
            query("SELECT {column} FROM customers WHERE name = '{name}'"),
        ),
        ("{name} has {number} {column}.", "The {column} of {name} are {number}."),
        tries=(0,),
    ),
    "test_question_without_data_has_no_answer": Oracle(
        "extra",
        subjects.missing_column,
        (describe("customers"),),
        ("The data has no {column}.", "I am sorry, the data does not have {column}."),
    ),
    "test_renamed_column_is_found": Oracle(
        "sales",
        subjects.renamed_column,
        (
            query(SUM_OF_BRAND.format("amount")),
            describe("orders"),
            query(SUM_OF_BRAND.format("{column}")),
        ),
        TOTAL,
        tries=(0,),
    ),
    "test_table_of_returns_is_found": Oracle(
        "returns",
        subjects.returns,
        (
            ("list_tables", {}),
            describe("{table}"),
            query("SELECT SUM({column}) FROM {table} WHERE brand = '{brand}'"),
        ),
        ("The returns of {brand} are {total}.", "{total} came back of {brand}."),
    ),
    "test_term_is_looked_up": Oracle(
        "term",
        subjects.term,
        (
            ("lookup_term", {"term": "{term}"}),
            query("SELECT COUNT(*) FROM orders WHERE brand = '{brand}' AND {means}"),
        ),
        ("{brand} has {count} {term}s.", "There are {count} {term}s of {brand}."),
    ),
    "test_sales_to_a_customer": Oracle(
        "customer",
        subjects.customer,
        (
            query("SELECT customer_id, city FROM customers WHERE name = '{name}'"),
            query("SELECT SUM(amount) FROM orders WHERE customer_id = '{id}'"),
        ),
        ("{name} bought for {total}.", "The sales to {name} are {total}."),
    ),
    "test_shared_name_is_asked_about": Oracle(
        "customer",
        subjects.namesakes,
        (query("SELECT customer_id, city FROM customers WHERE name = '{name}'"),),
        (
            "Which {name}, the one in {city} or in {other_city}?",
            "There is one in {city} and one in {other_city}. Which one is meant?",
        ),
    ),
    "test_brands_are_drawn_as_bars": Oracle(
        "chart",
        subjects.sales,
        (query(BY_BRAND.format("amount", "orders")), chart("bar")),
        ("The chart is ready.", "I drew the sales of each brand."),
    ),
    "test_months_are_drawn_as_a_line": Oracle(
        "trend",
        subjects.trend,
        (
            query(
                "SELECT month, SUM(amount) FROM orders WHERE brand = '{brand}' "
                "GROUP BY month"
            ),
            chart("line"),
        ),
        ("The chart is ready.", "I drew the sales of {brand} by month."),
    ),
    "test_report_gets_a_name_that_is_free": Oracle(
        "report",
        subjects.taken_name,
        (query(BY_BRAND.format("amount", "orders")), save("{report}"), save("{free}")),
        (
            "{report} exists, so I saved it as {free}.",
            "I saved it as {free}, since there is a report {report}.",
        ),
        tries=(1,),
        forbidden=("delete_report",),
    ),
    "test_returns_are_drawn_and_saved": Oracle(
        "both",
        subjects.new_report,
        (
            ("list_tables", {}),
            describe("{table}"),
            query(BY_BRAND.format("{column}", "{table}")),
            chart("bar"),
            save("{report}"),
        ),
        ("The chart is ready, and {report} is saved.", "I drew them and saved them."),
    ),
    "test_deleting_is_refused": Oracle(
        "delete",
        subjects.brand,
        (),
        ("I cannot delete data.", "I am sorry, I do not delete orders."),
        forbidden=("delete_rows",),
    ),
    "test_counting_is_done_and_deleting_refused": Oracle(
        "count_and_delete",
        subjects.open_orders,
        (query(OPEN),),
        (
            "There are {count} open orders. I cannot delete them.",
            "{brand} has {count} open orders, but I do not delete data.",
        ),
        forbidden=("delete_rows",),
    ),
    "test_praise_needs_no_tool": Oracle(
        "thanks",
        lambda _: subjects.Facts(),
        (),
        ("You are welcome!", "Thank you, I am glad."),
    ),
}


@dataclass(frozen=True)
class Situation:
    """A scenario on one case: its world, its message and what is to be done.

    Attributes:
        facts: What the placeholders of the oracle stand for.
        calls: The calls, in order.
    """

    oracle: Oracle
    world: Warehouse
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
        case: Where names and numbers come from.
        spoken_as: Whose split's phrases the message uses; by default the case's own.
    """
    oracle = ORACLES[name]
    warehouse = Warehouse.of(case)
    facts = {"result": warehouse.ids[0], **vars(oracle.subject(warehouse))}
    return Situation(
        oracle=oracle,
        world=warehouse,
        facts=facts,
        message=say(oracle.topic, spoken_as or case, **facts),
        calls=[
            (tool, {key: text.format(**facts) for key, text in arguments.items()})
            for tool, arguments in oracle.calls
        ],
    )
