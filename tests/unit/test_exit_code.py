"""The pages list the exit codes that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentgym.exit_code import ExitCode

ROOT = Path(__file__).parents[2]


def table(page: str, *columns: str) -> list[tuple[str, ...]]:
    """The rows of the table with these columns."""
    text = (ROOT / page).read_text(encoding="utf-8")
    head = re.escape(f"| {' | '.join(columns)} |")
    rows = re.search(rf"^{head}\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert rows is not None, f"{page} has no table {columns}"
    lines = rows[1].splitlines()
    return [tuple(cell.strip(" `") for cell in line.split("|")[1:-1]) for line in lines]


def test_the_readme_lists_what_pytest_ends_with():
    codes = [int(code) for code, _ in table("README.md", "exit code", "meaning")]
    # Only commands write into pipes.
    assert codes == sorted(set(ExitCode) - {ExitCode.PIPE})


def test_the_glossary_lists_all_by_name():
    rows = table("docs/glossary.md", "exit code", "name", "meaning")
    codes = [(code.value, code.name) for code in ExitCode]
    assert [(int(code), name) for code, name, _ in rows] == codes


def test_the_glossary_lists_the_reasons_of_the_gate():
    gate = pytest.importorskip("agentgym.runs.gate")
    rows = table("docs/glossary.md", "reason", "meaning", "exit code")
    assert [(name, int(code)) for name, _, code in rows] == [
        (kind.value, gate._CODES[kind]) for kind in gate.ReasonKind
    ]


@pytest.mark.parametrize("code", [c for c in ExitCode if c <= ExitCode.NOTHING])
def test_those_of_pytest_mean_what_pytests_mean(code):
    theirs = {
        "OK": pytest.ExitCode.OK,
        "BELOW": pytest.ExitCode.TESTS_FAILED,
        "INTERRUPTED": pytest.ExitCode.INTERRUPTED,
        "INTERNAL": pytest.ExitCode.INTERNAL_ERROR,
        "USAGE": pytest.ExitCode.USAGE_ERROR,
        "NOTHING": pytest.ExitCode.NO_TESTS_COLLECTED,
    }
    assert code == theirs[code.name]
