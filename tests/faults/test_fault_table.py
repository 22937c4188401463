"""The table of faults: each is proven by a test, and the page is the table."""

from __future__ import annotations

from collections import Counter

from tests.faults.fault_table import PAGE, faults, functions_of, page_with

ENOUGH = 300
"""So many have to be tried."""


def test_each_fault_is_told_and_proven() -> None:
    rows = faults()
    assert len(rows) >= ENOUGH
    for row in rows:
        assert all((row.id, row.where, row.fault, row.sees, row.keeps)), row
        file, function = row.function
        assert function in functions_of(file), f"{row.id}: there is no {row.test}"


def test_no_fault_stands_twice() -> None:
    rows = faults()
    for name in ("id", "fault"):
        found = Counter((getattr(row, name), row.where) for row in rows)
        assert [key for key, count in found.items() if count > 1] == []
    ids = Counter(row.id for row in rows)
    assert max(ids.values()) == 1


def test_each_case_of_a_test_is_there(collected: frozenset[str]) -> None:
    """Of the files that this run of pytest has collected whole, or as a part."""
    files: dict[str, list[str]] = {}
    for node in collected:
        files.setdefault(node.partition("::")[0], []).append(node)
    # Who asks for single tests of a file has not all of them.
    rows = [row for row in faults() if row.function[0] in files]
    for row in rows:
        nodes = files[row.function[0]]
        named = [n for n in nodes if n.partition("[")[0] == row.test.partition("[")[0]]
        assert not named or row.is_proven_by(nodes), f"{row.id}: {row.test}"


def test_the_page_is_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with(faults(), page) == page, "run python -m tests.faults.fault_table"
