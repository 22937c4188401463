"""Rows of a table of scenarios, below the files that they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from agentgym.runs.lines import TableRow

Scenario = TypeVar("Scenario")


def rows_by_file(
    scenarios: Iterable[tuple[str, Scenario]],
    row: Callable[[str, Scenario], TableRow],
) -> list[TableRow]:
    """The rows, and a title above those of each file.

    Args:
        scenarios: Node id of each, and what its row is made of; sorted by node id.
        row: Makes the row, with the scenario's name within its file.
    """
    rows: list[TableRow] = []
    file = None
    for node_id, scenario in scenarios:
        path, _, name = node_id.partition("::")
        if path != file:
            file = path
            rows.append(TableRow(path))
        rows.append(row(name or path, scenario))
    return rows
