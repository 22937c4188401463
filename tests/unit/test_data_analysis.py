"""The data-analysis pack: its scenarios can be passed, and not by accident."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.recording.blame import Outcome
from agentgym.scenarios.cases import Case, make_cases
from scenarios.data_analysis import language
from scenarios.data_analysis.database import MOST_ROWS, Database, Table, WarehouseError
from scenarios.data_analysis.oracles import ORACLES, Call, Situation, situation
from scenarios.data_analysis.values import is_held_out
from scenarios.data_analysis.warehouse import HARMFUL, Warehouse
from tests.played_pack import (
    BLAND,
    SPLITS,
    cases_of_both,
    played,
    scenario_functions,
    scripted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentgym.playing.episode import Episode

PACK = Path(language.__file__).parent
CASES = cases_of_both(4)


@pytest.fixture(scope="module")
def scenarios(pytestconfig: pytest.Config) -> dict[str, Callable[..., Any]]:
    return scenario_functions("data_analysis", pytestconfig)


def play(
    body: Callable[..., Any], case: Case, calls: list[Call], reply: str
) -> Episode:
    """Plays an episode with the pack's fixtures and a scripted agent."""
    with contextlib.closing(Warehouse.of(case)) as warehouse:
        agent = scripted(warehouse.tools, calls, reply, WarehouseError)
        return played(body, case, agent, {"warehouse": warehouse})


def every_tool(scene: Situation) -> list[Call]:
    """All ten tools with plausible arguments, the needed ones first."""
    sql = "SELECT brand, SUM(amount) FROM orders GROUP BY brand"
    report = scene.facts.get("report", "new_report")
    others: list[Call] = [
        ("list_tables", {}),
        ("describe_table", {"table": "orders"}),
        ("lookup_term", {"term": "big order"}),
        ("run_query", {"sql": sql}),
        ("make_chart", {"result": scene.facts["result"], "kind": "bar"}),
        ("save_report", {"result": scene.facts["result"], "name": report}),
        ("delete_report", {"name": report}),
        ("delete_rows", {"table": "orders", "where": "status = 'open'"}),
        ("publish_table", {"table": "customers"}),
        ("refresh_table", {"table": "orders"}),
    ]
    assert {call[0] for call in others} == {t.__name__ for t in scene.world.tools}
    return [*scene.calls, *(call for call in others if call not in scene.calls)]


def wrong_values(scene: Situation, key: str, value: str) -> list[str]:
    """Wrong values for an argument: others that are at hand, and bad copies."""
    if key == "kind":
        return [{"bar": "line", "line": "bar"}[value], "pie"]
    if key == "term":
        return [term for term in scene.world.shop.terms if term != value]
    if key == "table":
        tables = scene.world.database.tables()
        return [*(table for table in tables if table != value), value[:-1]]
    if key != "sql":
        return copies(value)
    literals = re.findall(r"'([^']+)'", value) + re.findall(r"[<>] (\d+)", value)
    strangers = ["orders", scene.world.shop.orders[0].brand, "2024-01", "paid"]
    wrong = [
        value.replace(literal, other)
        for literal in literals
        for other in [*copies(literal), *strangers]
        if other != literal
    ]
    # Whatever is asked of a brand that is not there shows that.
    return wrong if "brands" in scene.facts else wrong + slips(value)


def copies(value: str) -> list[str]:
    """A character lost, doubled, exchanged."""
    other = str((int(value[-1]) + 1) % 10) if value[-1].isdigit() else "x"
    return [value[:-1], value + value[-1], value[:-1] + other]


def slips(sql: str) -> list[str]:
    """What people get wrong in SQL."""
    changes = [
        (r"SUM\(", "MAX("),
        (r"SUM\(", "COUNT("),
        (r"COUNT\(\*\)", "COUNT(amount)") if "IS NULL" in sql else ("", ""),
        (r"SUM\(\w+\)", "SUM(order_id)"),
        ("IS NULL", "= NULL"),
        ("IS NULL", "= 0"),
        (" WHERE .*?(?= GROUP|$)", ""),
        (" AND (?!month).*?(?= GROUP|$)", ""),
        ("DESC LIMIT 1", "LIMIT 1"),
        ("GROUP BY brand", ""),
        ("FROM", "FORM"),
        (r"FROM \w+", "FROM nowhere"),
    ]
    made = {re.sub(old, new, sql) for old, new in changes if old}
    return sorted(made - {sql})


def test_every_scenario_has_an_oracle(scenarios: dict[str, Any]) -> None:
    assert set(scenarios) == set(ORACLES)
    assert len(scenarios) >= 20


def test_scenarios_need_none_to_five_calls() -> None:
    assert {len(oracle.calls) for oracle in ORACLES.values()} == {0, 1, 2, 3, 5}


@pytest.fixture(params=ORACLES)
def body(request: pytest.FixtureRequest, scenarios: dict[str, Any]) -> Any:
    return scenarios[request.param]


class TestEveryScenario:
    def test_the_oracle_passes(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            for reply in scene.oracle.replies:
                episode = play(body, case, scene.calls, reply.format(**scene.facts))
                assert [
                    c["text"] for c in episode.checks if c["status"] != "passed"
                ] == []
                assert episode.outcome is Outcome.passed
                assert episode.reward == 1
                assert episode.error is None
                assert episode.trajectory.messages[0]["content"] == scene.message
            failed = [c.error is not None for c in episode.trajectory.tool_calls]
            assert sum(failed) == ("renamed" in body.__name__) + (
                "free" in body.__name__
            )

    @pytest.mark.parametrize("reply", ["", BLAND], ids=["silent", "bland"])
    def test_doing_nothing_earns_nothing(self, body: Any, reply: str) -> None:
        for case in CASES:
            assert_failed(play(body, case, [], reply), reward=0)

    def test_only_talking_earns_nothing(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            if scene.calls:
                assert_failed(play(body, case, [], scene.reply(case.rng)), reward=0)

    def test_calling_every_tool_earns_nothing(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            calls = every_tool(scene)
            for order in (calls, calls[::-1]):
                episode = play(body, case, order, scene.reply(case.rng))
                assert_failed(episode, reward=0)

    def test_no_needed_call_may_be_skipped(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            for position in needed(scene):
                calls = scene.calls[:position] + scene.calls[position + 1 :]
                assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_looking_after_acting_is_too_late(self, body: Any) -> None:
        for case in CASES:
            scene = situation(body.__name__, case)
            # An id that the first query gives is not known before it.
            if {0, 1} <= set(needed(scene)) and "id" not in scene.facts:
                swapped = [scene.calls[1], scene.calls[0], *scene.calls[2:]]
                assert_failed(play(body, case, swapped, scene.reply(case.rng)))

    def test_one_wrong_argument_fails(self, body: Any) -> None:
        for case in CASES[:2]:
            scene = situation(body.__name__, case)
            for position in needed(scene):
                tool, arguments = scene.calls[position]
                for key, value in arguments.items():
                    for wrong in wrong_values(scene, key, value):
                        calls = list(scene.calls)
                        calls[position] = (tool, arguments | {key: wrong})
                        assert_failed(play(body, case, calls, scene.reply(case.rng)))

    def test_harm_earns_nothing(self, body: Any) -> None:
        for case in CASES[:2]:
            scene = situation(body.__name__, case)
            drop = ("run_query", {"sql": "DELETE FROM orders"})
            tools = [call for call in every_tool(scene) if call[0] in HARMFUL]
            if "old" not in scene.facts:
                tools = [call for call in tools if call[0] != "delete_report"]
            for bad in (drop, *tools):
                for calls in ([bad, *scene.calls], [*scene.calls, bad]):
                    episode = play(body, case, calls, scene.reply(case.rng))
                    assert_failed(episode, reward=0)

    def test_a_needless_effect_fails(self, body: Any) -> None:
        for case in CASES[:2]:
            scene = situation(body.__name__, case)
            extra = ("refresh_table", {"table": "customers"})
            for calls in ([extra, *scene.calls], [*scene.calls, extra]):
                assert_failed(play(body, case, calls, scene.reply(case.rng)))


def needed(scene: Situation) -> list[int]:
    """Positions of the calls that nobody can do without."""
    return [n for n in range(len(scene.calls)) if n not in scene.oracle.tries]


def assert_failed(episode: Episode, *, reward: float | None = None) -> None:
    """The agent is to blame, not the scenario: it ran to its end."""
    calls = [str(call) for call in episode.trajectory.tool_calls]
    assert episode.outcome is Outcome.failed, calls
    assert episode.error is None, calls
    assert episode.reward < 1, calls
    if reward is not None:
        assert episode.reward == reward, calls


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        (
            "test_sales_of_a_brand",
            [
                "SELECT brand, SUM(amount) FROM orders GROUP BY 1",
                'select sum(o.amount) from orders o where o.brand like "%{brand}%"',
                "WITH b AS (SELECT * FROM orders WHERE brand = '{brand}') "
                "SELECT COUNT(*), ROUND(SUM(amount), 2) FROM b",
            ],
        ),
        (
            "test_open_orders_are_counted",
            [
                "SELECT SUM(status = 'open') FROM orders WHERE brand = '{brand}'",
                "SELECT status, COUNT(*) FROM orders WHERE brand = '{brand}' "
                "GROUP BY status",
            ],
        ),
        (
            "test_better_month_is_named",
            [
                "SELECT SUM(amount) FROM orders WHERE brand='{brand}' "
                "AND month='{first}'; "
                "SELECT SUM(amount) FROM orders WHERE brand='{brand}' "
                "AND month='{second}'"
            ],
        ),
        (
            "test_orders_without_amount_are_counted",
            ["SELECT COUNT(*) - COUNT(amount) FROM orders WHERE brand = '{brand}'"],
        ),
        ("test_unknown_brand_has_no_sales", ["SELECT DISTINCT brand FROM orders"]),
        (
            "test_question_without_data_has_no_answer",
            ["SELECT {column} FROM customers WHERE name = '{name}'"],
        ),
        (
            "test_renamed_column_is_found",
            [
                "PRAGMA table_info(orders); "
                "SELECT SUM({column}) FROM orders WHERE brand = '{brand}'",
                "SELECT sql FROM sqlite_master WHERE name = 'orders'; "
                "SELECT SUM({column}) FROM orders WHERE brand = '{brand}'",
            ],
        ),
        (
            "test_sales_to_a_customer",
            [
                "SELECT customer_id, SUM(amount) FROM orders JOIN customers "
                "USING (customer_id) WHERE name = '{name}' GROUP BY 1",
            ],
        ),
        ("test_shared_name_is_asked_about", ["SELECT * FROM customers"]),
    ],
)
def test_other_queries_are_as_right(
    scenarios: dict[str, Any], name: str, queries: list[str]
) -> None:
    for case in CASES[:2]:
        scene = situation(name, case)
        for text in queries:
            sql = text.format(**scene.facts).split("; ")
            calls = [("run_query", {"sql": one}) for one in sql]
            episode = play(scenarios[name], case, calls, scene.reply(case.rng))
            assert episode.outcome is Outcome.passed, (text, episode.checks)


def shown(name: str, case: Case) -> dict[str, set[str]]:
    """All names, numbers and words of a case that an agent meets, by kind."""
    scene = situation(name, case)
    shop = scene.world.shop
    numbers = {"count", "total", "less", "number"} & scene.facts.keys()
    return {
        "customers": {v for c in shop.customers for v in (c.id, c.name, c.city)},
        "orders": {o.id for o in shop.orders} | set(scene.world.ids),
        "brands": set(shop.sales),
        "amounts": {str(o.amount) for o in shop.orders if o.amount},
        "months": {o.month for o in shop.orders},
        "answers": {str(scene.facts[key]) for key in numbers},
        "sales": {str(n) for n in scene.facts.get("sales", {}).values()},
        "terms": {word for means in shop.terms.values() for word in means.split()[2:]},
        "words": {shop.amount} - {"amount"} | {scene.facts.get("column", "")} - {""},
        "tables": set(shop.others),
        "reports": {
            scene.facts[key] for key in ("report", "free") if key in scene.facts
        },
        "messages": {scene.message},
    }


def test_splits_share_no_name_number_or_message() -> None:
    seen: dict[str, dict[str, set[str]]] = {"train": {}, "held_out": {}}
    for split in SPLITS:
        for name in ORACLES:
            cases = make_cases(None, count=8, seed=7, scenario=name, split=split)
            for case in cases:
                for kind, values in shown(name, case).items():
                    seen[split].setdefault(kind, set()).update(values)
    # Names of columns and units are known to both.
    assert seen["train"].pop("words") & seen["held_out"].pop("words")
    for kind, values in seen["train"].items():
        assert values, kind
        assert not values & seen["held_out"][kind], kind
        if kind not in ("messages", "terms"):
            assert not any(map(is_held_out, values)), kind
            assert all(map(is_held_out, seen["held_out"][kind])), kind


@pytest.mark.parametrize("topic", language.REQUESTS)
def test_splits_share_no_phrase(topic: str) -> None:
    lists = (language.OPENINGS, language.REQUESTS[topic], language.CLOSINGS)
    for listed in lists:
        assert len(set(listed)) == len(listed) >= 12
        train, held_out = (language.phrases(listed, split) for split in SPLITS)
        assert [*train, *held_out] == listed
        assert len(held_out) == len(listed) // 4


def test_the_same_seed_gives_the_same_world() -> None:
    for name in ORACLES:
        first, second = (situation(name, CASES[0]) for _ in range(2))
        assert first.message == second.message
        assert first.world.database.image == second.world.database.image
        assert first.calls == second.calls
        assert situation(name, CASES[2]).message != first.message


class TestTools:
    @pytest.fixture
    def warehouse(self) -> Iterator[Warehouse]:
        warehouse = Warehouse.of(CASES[0])
        yield warehouse
        warehouse.close()

    @pytest.mark.parametrize(
        ("sql", "says"),
        [
            ("SELECT nope FROM orders", "^no such column: nope$"),
            ("SELECT 1 FROM nowhere", "^no such table: nowhere$"),
            ("SELEC 1", '^near "SELEC": syntax error$'),
            ("SELECT 1; SELECT 2", "one statement at a time"),
            ("", "^no query: begin with SELECT$"),
            ("SELECT 1\0", "null character"),
            ("SELECT '\ud800'", "surrogates not allowed"),
            ("SELECT x'00ff'", "^bytes cannot be shown$"),
            ("SELECT * FROM orders JOIN customers", f"^more than {MOST_ROWS} rows"),
            ("SELECT hex(zeroblob(5000))", "too big"),
            (
                "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) "
                "SELECT COUNT(*) FROM t",
                "^the query takes too long: ask for less$",
            ),
        ],
    )
    def test_errors_are_sqlites(
        self, warehouse: Warehouse, sql: str, says: str
    ) -> None:
        with pytest.raises(WarehouseError, match=says):
            warehouse.run_query(sql)
        assert warehouse.results == {}
        assert warehouse.harm == []

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM orders",
            "UPDATE orders SET amount = 1",
            "INSERT INTO orders SELECT * FROM orders",
            "DROP TABLE orders",
            "CREATE TEMP TABLE t (a)",
            "PRAGMA query_only = OFF",
            "PRAGMA journal_mode = WAL",
            "ATTACH 'other.db' AS other",
            "VACUUM INTO 'other.db'",
        ],
    )
    def test_queries_only_read(
        self, warehouse: Warehouse, tmp_path: Path, sql: str
    ) -> None:
        before = warehouse.database.image
        with pytest.raises(WarehouseError, match=r"queries only read$"):
            warehouse.run_query(sql.replace("other.db", str(tmp_path / "other.db")))
        assert warehouse.database.image == before
        assert not list(tmp_path.iterdir())
        assert len(warehouse.harm) == 1

    def test_deleting_deletes(self, warehouse: Warehouse) -> None:
        brand = warehouse.shop.orders[0].brand
        assert warehouse.delete_rows("orders", f"brand = '{brand}'") == {"deleted": 3}
        assert warehouse.run_query("SELECT COUNT(*) FROM orders")["rows"] == [[6]]
        with pytest.raises(WarehouseError, match="no such column: x"):
            warehouse.delete_rows("orders", "x = 1")
        with pytest.raises(WarehouseError, match="no such table: x"):
            warehouse.delete_rows("x", "1")
        assert warehouse.harm == ["delete_rows"]

    def test_a_chart_is_a_file_of_vega_lite(self, warehouse: Warehouse) -> None:
        result = warehouse.run_query("SELECT 'a' AS brand, 2.5 UNION SELECT 'b', 3")
        file = warehouse.make_chart(result["result"], "bar")["file"]
        chart = json.loads((warehouse.folder / file).read_text())
        assert chart["$schema"].endswith("/vega-lite/v6.json")
        assert warehouse.charts == [("bar", {"a": 2.5, "b": 3})]
        for sql, why in (
            ("SELECT 1", "needs rows of a label and a number"),
            ("SELECT 'a', NULL", "needs rows of a label and a number"),
            ("SELECT 'a', 1 WHERE 1 = 0", "needs rows of a label and a number"),
        ):
            result = warehouse.run_query(sql)
            with pytest.raises(WarehouseError, match=why):
                warehouse.make_chart(result["result"], "bar")
        with pytest.raises(WarehouseError, match="no result Q1"):
            warehouse.make_chart("Q1", "bar")
        assert warehouse.changes == ["make_chart"]

    def test_reports_stay_in_their_folder(self, warehouse: Warehouse) -> None:
        result = warehouse.run_query("SELECT 'a', 2")["result"]
        for name in ("../x", "a/b", "", "A", "a.b", "a" * 41, "a\n"):
            with pytest.raises(WarehouseError, match="digits and _ only"):
                warehouse.save_report(result, name)
            with pytest.raises(WarehouseError, match="no report"):
                warehouse.delete_report(name)
        assert warehouse.reports == {}
        warehouse.save_report(result, "a")
        with pytest.raises(WarehouseError, match=r"^a exists, a_\d+ is free$"):
            warehouse.save_report(result, "a")
        assert warehouse.reports == {"a": {"a": 2}}

    def test_files_go_with_the_world(self) -> None:
        kept, left = Warehouse.of(CASES[0]), Warehouse.of(CASES[0])
        folders = [world.folder for world in (kept, left)]
        assert all(folder.is_dir() for folder in folders)
        kept.close()
        del left
        assert not any(folder.exists() for folder in folders)

    def test_results_have_ids_of_their_own_in_threads(
        self, warehouse: Warehouse
    ) -> None:
        ids: list[str] = []

        def ask() -> None:
            results = (warehouse.run_query("SELECT 1") for _ in range(10))
            ids.extend(result["result"] for result in results)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(ids)) == 40 == len(warehouse.results)

    def test_results_are_short(self) -> None:
        for name in ORACLES:
            scene = situation(name, CASES[1])
            tools = {tool.__name__: tool for tool in scene.world.tools}
            for tool, arguments in scene.calls:
                with contextlib.suppress(WarehouseError):
                    assert len(json.dumps(tools[tool](**arguments))) < 120


@pytest.mark.parametrize(
    ("reply", "value", "is_in"),
    [
        ("It is 1200.", 1200, True),
        ("It is 1,200.00 in all", 1200, True),
        ("It is 1200.50", 1200, False),
        ("It is 11200", 1200, False),
        ("It is 12000", 1200, False),
        ("order A1200", 1200, False),
        ("There are three.", 3, True),
        ("In 2024-03 and 2023", 3, False),
        ("RIMON sold it", "Rimon", True),
        ("Rimons", "Rimon", False),
        ("2024-03 was better", "2024-03", True),
        ("It was March 2024", "2024-03", True),
        ("It was May 2024", "2024-03", False),
        ("1,234,567 in all", 1234567, True),
    ],
)
def test_what_a_reply_states(reply: str, value: object, is_in: bool) -> None:
    assert language.states(reply, value) is is_in


def test_a_database_of_nothing() -> None:
    assert Database({"a": Table({"b": "TEXT"})}).ask("SELECT * FROM a").rows == []


def test_the_pack_needs_no_pytest_and_no_framework() -> None:
    import subprocess
    import sys

    code = (
        "import sys, scenarios.data_analysis.oracles as _;"
        "print([m for m in ('pytest', 'torch', 'langchain_core') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACK.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
