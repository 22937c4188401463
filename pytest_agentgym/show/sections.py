"""The report of a run at the end of pytest's own."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agentgym.report import terminal
from agentgym.runs.lines import harmless, wrapped
from agentgym.runs.summary import RunSummary
from pytest_agentgym.show.baseline import baseline_section

WIDEST = 120
"""Columns that a report takes at most."""


def report_width(writer: pytest.TerminalReporter) -> int:
    """The columns of a report on this terminal."""
    return min(writer._tw.fullwidth - 1, WIDEST)


def write_lines(
    writer: pytest.TerminalReporter, lines: Iterable[terminal.Line]
) -> None:
    """Writes lines of a report.

    Args:
        writer: pytest's.
        lines: A heading among them begins a section.
    """
    for line in lines:
        if isinstance(line, terminal.Heading):
            writer.section(line.text, "-")
        else:
            writer.write_line(line.text, **line.markup)


def write_empty_report(
    writer: pytest.TerminalReporter, why: str, lines: Iterable[terminal.Line]
) -> None:
    """The report of a run without an episode.

    Args:
        writer: pytest's.
        why: There is none.
        lines: What follows from it.
    """
    writer.section("agentgym", "=")
    writer.write_line(harmless(f"agentgym: {why}"))
    write_lines(writer, lines)


def write_report(
    writer: pytest.TerminalReporter,
    summary: RunSummary,
    *,
    extra: Iterable[str],
    verdict: Iterable[terminal.Line],
    mistakes: Iterable[str],
    warnings: Iterable[str],
    places: Iterable[str],
) -> None:
    """The report of a run.

    Args:
        writer: pytest's.
        summary: What the run has come to.
        extra: Other plugins' lines.
        verdict: The last sections.
        mistakes: The user's, a line each.
        warnings: Sentences about the run itself.
        places: Where its files are, a line each.
    """
    width = report_width(writer)
    writer.section("agentgym", "=", bold=True)
    write_lines(writer, terminal.report(summary, width))
    for text in extra:
        writer.write_line(harmless(text))
    write_lines(writer, baseline_section(summary, width))
    write_lines(writer, verdict)
    yellow = {"yellow": True}
    write_lines(writer, (terminal.Line(text, yellow) for text in mistakes))
    for text in dict.fromkeys(warnings):
        write_lines(writer, wrapped(text, width, markup=yellow, whole_words=True))
    for text in places:
        writer.write_line(text)
