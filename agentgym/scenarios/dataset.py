"""Cases from a file, whose names and splits no other line changes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

from agentgym.errors import UsageError
from agentgym.scenarios.json_rows import json_lines, parsed_json, reading

Split = Literal["train", "held_out"]
_SPLITS: tuple[Split, ...] = ("train", "held_out")
_HELD_OUT = 4
"""One of so many rows is held out, by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case of a file.

    Attributes:
        number: Made from its id, or else from its content: the case's `index`.
        split: As the row says, or else by its number.
        value: What the line holds.
    """

    number: int
    split: Split
    value: Any


class dataset(Sequence[Any]):  # noqa: N801 - reads like `given`
    """Cases from a file: `cases=dataset("cases.jsonl")`.

    A row is a case, which has it as `case.value`. A row's `id`, or else its content,
    makes the case's number and decides whether it is held out, as about one row of four
    is; a row with a `split` ("train" or "held_out") decides that itself. So a line that
    is added, moved or removed changes no other case; a changed line is another case,
    unless it has an `id`.

    Args:
        path: A file of JSON lines (`.jsonl`), or a list in a JSON file (`.json`);
            relative to the file that calls this.
        *fields: Of the rows: the scenario may take them as arguments of these names.

    Attributes:
        path: The file.
        fields: As given.
        rows: What it holds.

    Raises:
        UsageError: It cannot be read, holds no case, or two cases are the same.
    """

    def __init__(self, path: str | Path, *fields: str) -> None:
        here = Path(sys._getframe(1).f_globals.get("__file__", "")).parent
        self.path = here / Path(path).expanduser()
        self.fields = fields
        self.rows: list[Row] = []
        places: dict[int, str] = {}
        for place, value in _read(self.path):
            row = _row(value, place)
            missing = [
                name
                for name in fields
                if not isinstance(value, dict) or name not in value
            ]
            if missing:
                raise UsageError(f"{place} has no field {missing[0]!r}")
            if row.number in places:
                raise UsageError(
                    f"{place} is the same case as {places[row.number]}: remove one, or "
                    'give each an "id" of its own'
                )
            places[row.number] = place
            self.rows.append(row)
        if not self.rows:
            raise UsageError(f"{self.path} holds no case")

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [row.value for row in self.rows[index]]
        return self.rows[index].value


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place.

    Raises:
        UsageError: It cannot be read; says where.
    """
    if path.suffix != ".json":
        yield from json_lines(path)
        return
    with reading(path):
        found = parsed_json(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(found, list):
        raise UsageError(f"{path}: write a list of cases, [...]")
    for number, value in enumerate(found, 1):
        yield f"{path}: case {number}", value


def _row(value: Any, place: str) -> Row:
    known = value if isinstance(value, dict) else {}
    name = known.get("id")
    if name is not None and not isinstance(name, str | int):
        raise UsageError(f"{place}: id: give a text or a whole number")
    said = known.get("split")
    if said is not None and said not in _SPLITS:
        raise UsageError(f'{place}: split: write "train" or "held_out"')
    content = json.dumps(value if name is None else {"id": name}, sort_keys=True)
    digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
    # Bits enough for 10,000 rows to have numbers of their own, and JSON has them exact.
    number = int.from_bytes(digest[:5], "big")
    drawn = _SPLITS[digest[5] % _HELD_OUT == 0]
    split = next((split for split in _SPLITS if split == said), drawn)
    return Row(number=number, split=split, value=value)
