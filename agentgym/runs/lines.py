"""Lines of text for a terminal, and the tables, numbers and names in them."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import TypeVar

from agentgym.recording.plain import without_escapes
from agentgym.reliability import CONFIDENCE

Scenario = TypeVar("Scenario")


def harmless(line: str) -> str:
    """A line that neither a terminal nor a CI's runner obeys.

    GitHub's runner takes what begins with two colons for a command, and two hashes
    with a bracket wherever they are.

    Args:
        line: Of whatever origin, such as an agent's words.
    """
    if not line.isprintable():
        line = "".join(
            c if c.isprintable() else " " if c.isspace() else "?"
            for c in without_escapes(line)
        )
    if line.lstrip().startswith("::"):
        line = line.replace("::", ": :", 1)
    return line.replace("##[", "## [")


def harmless_lines(text: str) -> str:
    """The same of a text that may have several lines."""
    return "\n".join(map(harmless, text.splitlines()))


@dataclass(frozen=True, slots=True)
class Line:
    """One line and how to show it; `markup` has the names of pytest's writer."""

    text: str = ""
    markup: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Here, as wrapping brings any word of a text to the beginning of a line.
        object.__setattr__(self, "text", harmless(self.text))


MOST_DECIMALS = 3
"""Of a share in percent."""


@dataclass(frozen=True, slots=True)
class Heading(Line):
    """A section's title."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table's row: a name, and as many cells as the table has columns.

    Without cells it is the title of the rows below it.
    """

    name: str
    cells: Sequence[str] = ()
    markup: dict[str, bool] = field(default_factory=dict)


def table(
    columns: Sequence[str], rows: Sequence[TableRow], width: int
) -> Iterator[Line]:
    """Lays a table out; the cells are right-aligned, the names get what room is left.

    Args:
        columns: Titles; they may have several lines.
        rows: The rows.
        width: Characters that a line may have.
    """
    heads = [title.split("\n") for title in columns]
    widths = [
        max(len(text) for text in (*head, *(row.cells[i] for row in rows if row.cells)))
        for i, head in enumerate(heads)
    ]
    groups = list(_below_titles(rows))
    names = [len(row.name) for row in rows if row.cells]
    longest = max(names, default=0)
    least = min(longest, 12)
    gap = 2 if 2 + longest + sum(widths) + 2 * len(widths) <= width else 1
    room = max(least, min(longest, width - 2 - sum(widths) - gap * len(widths)))
    for level in range(max(map(len, heads))):
        texts = [head[level] if level < len(head) else "" for head in heads]
        yield Line(_joined("", texts, room, widths, gap), {"bold": True})
    for title, below in groups:
        if title is not None:
            yield Line(left(title.name, width), title.markup)
        short = distinct([row.name for row in below], room)
        for name, row in zip(short, below, strict=True):
            yield Line(_joined(name, row.cells, room, widths, gap), row.markup)


def _below_titles(
    rows: Sequence[TableRow],
) -> Iterator[tuple[TableRow | None, list[TableRow]]]:
    """Each title with the rows below it."""
    title, below = None, list[TableRow]()
    for row in rows:
        if row.cells:
            below.append(row)
            continue
        if title is not None or below:
            yield title, below
        title, below = row, []
    yield title, below


def rows_by_file(
    scenarios: Iterable[tuple[str, Scenario]],
    row: Callable[[str, Scenario], TableRow],
) -> list[TableRow]:
    """The rows, and a title above those of each file.

    Args:
        scenarios: Node id of each, and what its row is made of; in order, files by
            their first scenario.
        row: Makes the row, with the scenario's name within its file.
    """
    files: dict[str, list[TableRow]] = {}
    for node_id, scenario in scenarios:
        path, _, name = node_id.partition("::")
        rows = files.setdefault(path, [TableRow(path)])
        rows.append(row(name or path, scenario))
    return [row for rows in files.values() for row in rows]


def _joined(
    name: str, cells: Sequence[str], room: int, widths: Sequence[int], gap: int
) -> str:
    padded = [
        " " * gap + f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True)
    ]
    return f"  {name:<{room}}{''.join(padded)}".rstrip()


def wrapped(
    text: str,
    width: int,
    indent: str = "",
    markup: dict[str, bool] | None = None,
    *,
    hanging: str | None = None,
    most: int | None = None,
    whole_words: bool = False,
) -> Iterator[Line]:
    """Text on as many lines as it needs.

    Args:
        text: Line breaks in it are blanks here.
        width: Characters that a line may have, the indent included.
        indent: What the first line begins with.
        markup: How all lines are shown.
        hanging: What the other lines begin with; by default the indent.
        most: Lines at most; the rest of the text is left out.
        whole_words: Whether a word that is too long, such as a path that is to be
            copied, stays on one line.
    """
    for line in textwrap.wrap(
        plain(text),
        max(width, len(indent) + 20),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
        break_long_words=not whole_words,
        max_lines=most,
        placeholder=" …",
    ):
        yield Line(line, markup or {})


def plain(text: str) -> str:
    """The text on one line, without what could steer a terminal."""
    return harmless(" ".join(text.split()))


def middle(text: str, length: int) -> str:
    """The text, with its middle left out where it is too long.

    Args:
        text: Such as a name, whose beginning and end say most.
        length: Characters at most.
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def distinct(names: Sequence[str], length: int) -> list[str]:
    """The names, shortened so that no two that differ look alike.

    What a name has in common with all that begin like it goes first: it tells them
    apart from nothing.

    Args:
        names: Of a group, such as the scenarios of a file.
        length: Characters at most.
    """
    if all(len(name) <= length for name in names):
        return list(names)
    ordered = sorted(set(names))
    # Of letters, though the function is among those of paths.
    forks = {commonprefix(pair) for pair in itertools.pairwise(ordered)}  # noqa: RUF071
    short = {name: _without_common(name, forks, length) for name in ordered}
    return numbered(short, names, length)


def _without_common(name: str, forks: Set[str], length: int) -> str:
    """The name, its longest parts in which no other one goes its own way cut first."""
    own_way = (place for place in range(len(name)) if name[:place] in forks)
    places = sorted({near for place in own_way for near in _number(name, place)})
    ends = zip([0, *places], [*places, len(name)], strict=True)
    parts = [name[begin:end] for begin, end in ends]
    for place in sorted(range(len(parts)), key=lambda i: -len(parts[i])):
        excess = sum(map(len, parts)) - length
        # All but the first part begin with the letter that tells the name apart.
        own = parts[place][: min(place, 1)]
        common = parts[place][len(own) :]
        if excess <= 0 or len(common) < 2:
            break
        kept = len(common) - excess
        # A few letters of something say nothing.
        parts[place] = own + (middle(common, kept) if kept > 4 else "…")
    return middle("".join(parts), length)


def _number(name: str, place: int) -> range:
    """The places of the number that is there, or just this one: 1 is not 100."""
    begin, end = place, place
    while begin and name[begin - 1].isdigit():
        begin -= 1
    while end < len(name) and name[end].isdigit():
        end += 1
    return range(begin, max(end, place + 1))


def numbered(short: Mapping[str, str], names: Sequence[str], length: int) -> list[str]:
    """The short names, numbered where those of different names are the same.

    Args:
        short: Of each name.
        names: Those that are wanted.
        length: Characters at most.
    """
    alike = Counter(short.values())
    taken: Counter[str] = Counter()
    found = dict(short)
    for name, text in short.items():
        if alike[text] > 1:
            taken[text] += 1
            number_of = f"~{taken[text]}"
            found[name] = middle(text, length - len(number_of)) + number_of
    return [found[name] for name in names]


def left(text: str, length: int) -> str:
    """The text, with its beginning left out where it is too long.

    Args:
        text: Such as a path, whose end says most.
        length: Characters at most.
    """
    return text if len(text) <= length else f"…{text[len(text) - length + 1 :]}"


def right(text: str, length: int) -> str:
    """The text on one line, with its end left out where it is too long.

    Args:
        text: Any text, of whatever origin.
        length: Characters at most.
    """
    line = plain(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def short_name(scenario: str) -> str:
    """A scenario's name without its file."""
    return scenario.partition("::")[2] or scenario


def listed(names: Sequence[str], most: int) -> str:
    """The first names, and how many there are besides.

    Args:
        names: In the order in which they are told.
        most: How many are told.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def percent(share: float | None, limit: float | None = None) -> str:
    """A share with one decimal, or up to three where it would look like another one.

    One that is closer still is moved away from it, never to its other side.

    Args:
        share: In [0, 1].
        limit: A share that it must not be mistaken for, besides 0 and 1.
    """
    if share is None:
        return "-"
    limits = [x for x in (0.0, 1.0, limit) if x is not None and x != share]
    # A limit with more decimals asks for one more than it has.
    most = max(MOST_DECIMALS, len(f"{100 * (limit or 0):.10g}".partition(".")[2]) + 1)
    for digits in range(1, most + 1):
        text = f"{100 * share:.{digits}f}"
        near = [x for x in limits if text == f"{100 * x:.{digits}f}"]
        if not near:
            return f"{text} %"
    step = 10.0**-most
    moved = float(text) + (step if share > near[0] else -step)
    return f"{moved:.{most}f} %"


def too_close(share: float, limit: float) -> bool:
    """Whether no decimal that is shown tells the two apart.

    Args:
        share: In [0, 1].
        limit: Another one.
    """
    return abs(share - limit) < 0.5 * 10.0 ** (-MOST_DECIMALS - 2)


def threshold(share: float) -> str:
    """A threshold as the user wrote it: 95 %, 99.9 %."""
    return f"{100 * share:.10g} %"


SURE = threshold(CONFIDENCE)
"""How certain intervals and verdicts are: 95 %."""


def interval(low: float, high: float) -> str:
    """Two shares in percent: 56.9-67.8.

    Args:
        low: In [0, 1].
        high: In [0, 1].
    """
    return f"{100 * low:.1f}-{100 * high:.1f}"


def percentage_points(share: float) -> str:
    """A difference of shares: `2 points`, `1 point`; the share is in [0, 1]."""
    number_of = f"{100 * share:.10g}"
    return f"{number_of} point{'' if number_of == '1' else 's'}"


def points(value: float, low: float, high: float) -> str:
    """A difference of two shares with its interval, in percentage points.

    Args:
        value: In [-1, 1].
        low: Lower end of its interval.
        high: Its upper end.
    """
    ends = [f"{100 * x:+.1f}".replace("-0.0", "+0.0") for x in (value, low, high)]
    return f"{ends[0]} points ({ends[1]} to {ends[2]})"


def number(value: float | None) -> str:
    """A mean with about three digits."""
    if value is None:
        return "-"
    if value >= 10_000:
        return f"{value / 1000:.{1 if value < 100_000 else 0}f}k"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def dollars(amount: float | None) -> str:
    """An amount of US dollars: $12.34, $0.0057."""
    if amount is None:
        return "-"
    if amount >= 1 or not amount:
        return f"${amount:,.2f}" if amount else "$0"
    if amount >= 0.095:
        return f"${amount:.2f}"
    # Two digits, however small.
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def duration(seconds: float | None) -> str:
    """How long something took, with about three digits."""
    if seconds is None:
        return "-"
    if seconds >= 90:
        return f"{seconds / 60:.1f}".removesuffix(".0") + " min"
    if seconds >= 1:
        return f"{number(seconds)} s"
    milliseconds = seconds * 1000
    if milliseconds < 0.1:
        return f"{milliseconds * 1000:.0f} us"
    return f"{milliseconds:.{0 if milliseconds >= 10 else 1}f} ms"


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 episode, 2 episodes.

    Args:
        number: How many.
        noun: Of one; its plural ends with an s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
