"""The examples of README and docs run, and the table of options is complete."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from pytest_agentgym.options import add_options
from tests.conftest import Gym

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, dict[str, str]]]:
    """Each page's scenario files, with the conftest.py that follows them."""
    found = []
    for page in PAGES:
        blocks = BLOCK.findall(page.read_text())
        pairs = zip(blocks[::2], blocks[1::2], strict=True)
        found += [(f"{page.name}: {pair[0][0]}", dict(pair)) for pair in pairs]
    return found


@pytest.mark.parametrize(("name", "files"), examples())
def test_an_example_runs(gym: Gym, name: str, files: dict[str, str]) -> None:
    for file, text in files.items():
        gym.file(text, file)
    result = gym.start("--agentgym-threshold", "0.5")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*reliability *%*", "*gate met*"])


def test_pages_have_examples() -> None:
    assert len(examples()) >= 3


def test_every_option_is_in_the_table() -> None:
    class Group:
        def __init__(self) -> None:
            self.names: list[str] = []

        def addoption(self, name: str, **_: object) -> None:
            self.names.append(name)

    group = Group()
    add_options(argparse.Namespace(getgroup=lambda *_: group))  # type: ignore[arg-type]
    table = (ROOT / "docs" / "measuring.md").read_text()
    assert [name for name in group.names if f"| `{name}" not in table] == []


def test_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(
        r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert [block.strip() for block in blocks[:2]] == ["make demo", "make test"]
