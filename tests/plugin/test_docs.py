"""The examples of README and docs run, and the table of options is complete."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from agentgym.testing import ScriptedModel
from pytest_agentgym.plugin import pytest_addoption
from tests.conftest import Gym

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, dict[str, str]]]:
    """Each page's scenario files, with the next conftest.py that follows them."""
    found = []
    for page in PAGES:
        conftest: str | None = None
        for file, text in reversed(BLOCK.findall(page.read_text())):
            if file == "conftest.py":
                conftest = text
                continue
            assert conftest is not None, f"{page.name}: {file}"
            files = {file: text, "conftest.py": conftest}
            found.append((f"{page.name}: {file}", files))
    return found


def simulate(request: dict[str, Any]) -> str:
    """A judge that is content, and a user who tells an order's number when asked."""
    rules, *said = (message["content"] for message in request["messages"])
    if not rules.startswith("You play"):
        return json.dumps({"reason": "It does.", "pass": True})
    order = re.search(r"order (\w+)", rules)
    words = ["I want my money back.", order and order[1], "Thanks."]
    turn = len(said) // 2
    return json.dumps({"message": words[turn], "done": turn == 2})


@pytest.mark.parametrize(("name", "files"), examples())
def test_an_example_runs(gym: Gym, name: str, files: dict[str, str]) -> None:
    for file, text in files.items():
        gym.file(text, file)
        for package in re.findall(r"^ *(?:from|import) (lang\w+|openai)", text, re.M):
            pytest.importorskip(package)
    options = ["--agentgym-threshold=0.5"]
    with ScriptedModel(simulate, name="m") as model:
        if re.search(r"judge\(|SimulatedUser\(", "".join(files.values())):
            pytest.importorskip("openai")
            options.append(f"--agentgym-judge={model.base_url}#m")
        result = gym.start(*options)
        assert bool(model.requests) == (len(options) > 1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*reliability *%*", "*gate met*"])


def test_pages_have_examples() -> None:
    assert len(examples()) >= 5


def test_every_option_is_in_the_table() -> None:
    class Group:
        def __init__(self) -> None:
            self.names: list[str] = []

        def addoption(self, name: str, **_: object) -> None:
            self.names.append(name)

    group = Group()
    ini: list[str] = []
    parser = argparse.Namespace(
        getgroup=lambda *_: group, addini=lambda name, *_, **__: ini.append(name)
    )
    pytest_addoption(parser)  # type: ignore[arg-type]
    table = (ROOT / "docs" / "reference" / "options.md").read_text()
    assert [name for name in ini if f"`{name}`" not in table] == []
    assert [name for name in group.names if f"| `{name}" not in table] == []


def test_help_has_the_groups_of_the_table_and_a_line_for_each_option(
    gym: Gym, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = gym.run("--help", agentgym=False).stdout.str()
    shown: dict[str, list[str]] = {}
    for title, body in re.findall(r"^agentgym: (.*):\n((?:  .*\n)+)", text, re.M):
        options = re.findall(r"^  (--[\w-]+)(.*\n(?:   .*\n)*)", body, re.M)
        shown[title] = [name for name, _ in options]
        for name, rest in options:
            # Names too long for the help to stand beside them have it below.
            beside = "  " in rest.partition("\n")[0]
            assert rest.count("\n") == (1 if beside else 2), name
    table = (ROOT / "docs" / "reference" / "options.md").read_text()
    found = re.split(r"^\*\*(.*?)\*\*.*$", table, flags=re.M)
    documented = {
        title.lower(): re.findall(r"^\| `(--[\w-]+)", rows, re.M)
        for title, rows in zip(found[1::2], found[2::2], strict=True)
    }
    assert list(shown) == list(documented)
    assert shown == documented


def test_pages_that_code_and_tests_name_exist() -> None:
    named = [
        (path.relative_to(ROOT), page)
        for folder in ("agentgym", "pytest_agentgym", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text())
    ]
    assert len(named) > 5
    named = [(path, page) for path, page in named if page != "docs/page.md"]
    assert [each for each in named if not (ROOT / each[1]).is_file()] == []


def test_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(
        r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert [block.strip() for block in blocks[:2]] == ["make demo", "make test"]
