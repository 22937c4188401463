"""All faults that were tried, each with the test that proves what is said of it.

    python -m tests.faults.fault_table

writes them into docs/reference/faults.md.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("faults.csv")
PAGE = ROOT / "docs" / "reference" / "faults.md"
_BEGIN = "<!-- python -m tests.faults.fault_table writes what follows -->\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table.

    Attributes:
        id: Its name, for those who speak of it.
        where: The part of the table.
        fault: What was tried.
        sees: What the user sees of it.
        keeps: What is kept in spite of it.
        test: Node id of the test; one that ends with `*` is the beginning of it.
    """

    id: str
    where: str
    fault: str
    sees: str
    keeps: str
    test: str

    @property
    def function(self) -> tuple[str, str]:
        """The file of its test, and the name of the function in it."""
        file, _, name = self.test.partition("::")
        return file, name.partition("[")[0]

    def is_proven_by(self, nodes: Collection[str]) -> bool:
        """Whether exactly one of the node ids is its test's."""
        if not self.test.endswith("*"):
            return self.test in nodes
        return sum(node.startswith(self.test[:-1]) for node in nodes) == 1


def faults() -> list[Fault]:
    """The rows of the table, in their order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [field.name for field in fields(Fault)]
    return [Fault(*row) for row in rows[1:]]


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file, those of classes with the class before them."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(_functions(tree.body))


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + node.name


def page_with(rows: list[Fault], page: str) -> str:
    """The page with these rows in place of those that it has.

    Args:
        rows: In their order.
        page: Its text so far.
    """
    head, _, _ = page.partition(_BEGIN)
    parts = [f"{head}{_BEGIN}"]
    for where, of_part in groupby(rows, key=lambda row: row.where):
        lines = [
            f"| {_cell(r.fault)} | {_cell(r.sees)} | {_cell(r.keeps)} |"
            for r in of_part
        ]
        table = ["| fault | what you see | what is kept |", "|---|---|---|", *lines]
        parts.append(f"## {where}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page_with(faults(), PAGE.read_text(encoding="utf-8")), "utf-8")
