"""A lending library as an MCP server, which speaks over its standard input and output.

Usage: python server.py '{"Emma": 2, "Dune": 0}' (the books, and copies of each)
"""

import json
import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("library", log_level="WARNING")
copies: dict[str, int] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {"Emma": 1}
loans: list[dict[str, str]] = []
reservations: list[dict[str, str]] = []


@server.tool()
def count_copies(title: str) -> str:
    """Say how many copies of a book are on the shelf."""
    if title not in copies:
        raise ValueError(f"there is no book {title}")
    return f"{copies[title]} copies of {title}"


@server.tool()
def lend(title: str, reader: str) -> str:
    """Lend a copy of a book to a reader."""
    if not copies.get(title):
        raise ValueError(f"there is no copy of {title}")
    copies[title] -= 1
    loans.append({"title": title, "reader": reader})
    return f"{reader} has {title} for four weeks"


@server.tool()
def reserve(title: str, reader: str) -> str:
    """Reserve the next copy that comes back for a reader."""
    reservations.append({"title": title, "reader": reader})
    return f"{title} is reserved for {reader}"


@server.tool()
def bill(reader: str, euros: int) -> str:
    """Send a reader a bill."""
    return f"{reader} owes {euros} euros"


@server.resource("library://state")
def state() -> str:
    """What is lent and reserved; a resource, which the agent is not given."""
    return json.dumps({"loans": loans, "reservations": reservations})


if __name__ == "__main__":
    server.run()
