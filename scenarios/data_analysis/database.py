"""SQLite as the tools use it: queries that only read, with limits and its own errors.

The database is kept as an image of its file. Each use opens a connection of its own on
it, so that tools may run in any thread, and nothing is left to be closed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ROWS = 10
MOST_STEPS = 200_000
"""Instructions of SQLite's virtual machine: some milliseconds, on any machine alike."""
MOST_CHARACTERS = 2000
"""Of a query, and of a value in it."""
PRAGMAS = ("table_info", "table_xinfo")


class WarehouseError(Exception):
    """A tool could not do what it was asked."""


class WriteRefusedError(WarehouseError):
    """A query wanted to change something."""


@dataclass
class Table:
    """A table before it is in the database.

    Attributes:
        columns: Their types by their names.
    """

    columns: dict[str, str]
    rows: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What a query gave.

    Attributes:
        reads: The tables and columns that it read.
        described: The tables whose columns it asked for.
    """

    sql: str
    rows: list[list[Any]]
    reads: frozenset[str]
    described: frozenset[str]


class Database:
    """A database of some tables."""

    def __init__(self, tables: dict[str, Table]) -> None:
        with closing(sqlite3.connect(":memory:")) as connection:
            for name, table in tables.items():
                columns = ", ".join(map(" ".join, table.columns.items()))
                marks = ", ".join("?" * len(table.columns))
                connection.execute(f"CREATE TABLE {name} ({columns})")
                connection.executemany(
                    f"INSERT INTO {name} VALUES ({marks})",  # noqa: S608
                    table.rows,
                )
            connection.commit()
            self.image = connection.serialize()

    def ask(self, sql: str) -> Answer:
        """Runs a query of an agent.

        Raises:
            WriteRefusedError: It would change something.
            WarehouseError: What SQLite says, or a limit.
        """
        reads, described = set(), set()

        def allow(action: int, first: str | None, second: str | None, *_: Any) -> int:
            if action == sqlite3.SQLITE_READ:
                reads.update(filter(None, (first, second)))
            elif action == sqlite3.SQLITE_PRAGMA:
                if first not in PRAGMAS:
                    return sqlite3.SQLITE_DENY
                described.add(second or "")
            # Of another file it would be the wrong one that only reads.
            elif action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
                return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK

        with closing(self._open()) as connection, _in_words():
            _limit(connection)
            connection.set_authorizer(allow)
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise WarehouseError("no query: begin with SELECT")
            rows = [list(row) for row in cursor.fetchmany(MOST_ROWS + 1)]
        if len(rows) > MOST_ROWS:
            raise WarehouseError(f"more than {MOST_ROWS} rows: let SQL add or count")
        if any(isinstance(cell, bytes) for row in rows for cell in row):
            raise WarehouseError("bytes cannot be shown")
        return Answer(sql, rows, frozenset(reads), frozenset(described))

    def tables(self) -> list[str]:
        """The names of all tables."""
        with closing(self._open()) as connection:
            found = connection.execute("SELECT name FROM sqlite_master ORDER BY name")
            return [name for (name,) in found]

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; none if there is no such table."""
        with closing(self._open()) as connection:
            found = connection.execute("SELECT name FROM pragma_table_info(?)", [table])
            return [name for (name,) in found]

    def delete(self, table: str, where: str) -> int:
        """Deletes rows of a table, and says how many."""
        with closing(self._open()) as connection, _in_words():
            sql = f'DELETE FROM "{table}" WHERE {where}'  # noqa: S608 - is what it does
            deleted = connection.execute(sql).rowcount
            connection.commit()
            self.image = connection.serialize()
        return deleted

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(self.image)
        return connection


def _limit(connection: sqlite3.Connection) -> None:
    """Makes SQLite refuse to write, and to work for long."""
    connection.execute("PRAGMA query_only = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_CHARACTERS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MOST_CHARACTERS)
    parts = count(1)
    part = MOST_STEPS // 100
    connection.set_progress_handler(lambda: next(parts) > 100, part)


@contextmanager
def _in_words() -> Iterator[None]:
    """Makes SQLite's errors those of the tools."""
    try:
        yield
    # The value errors are of texts that are none, as with a null character.
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        name = getattr(error, "sqlite_errorname", "")
        if name in ("SQLITE_READONLY", "SQLITE_AUTH"):
            raise WriteRefusedError(f"{error}: queries only read") from error
        if name == "SQLITE_INTERRUPT":
            raise WarehouseError("the query takes too long: ask for less") from error
        raise WarehouseError(str(error)) from error
