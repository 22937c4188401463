"""The examples of README and docs run, and the table of options is complete."""

from __future__ import annotations

import argparse
import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.commands.main import _parser
from agentgym.testing import ScriptedModel
from pytest_agentgym.plugin import pytest_addoption
from tests.conftest import Gym

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    ROOT / "README.md",
    # Those of the tutorial and of the frameworks have tests of their own.
    *(page for page in DOCS if page.parent.name not in {"tutorial", "frameworks"}),
]
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


ELSEWHERE = {"agents.md: test_order.py"}
"""Examples without a conftest.py on their page."""


def examples() -> list[tuple[str, dict[str, str]]]:
    """Each page's scenario files up to a conftest.py, with it."""
    found = []
    for page in PAGES:
        files: dict[str, str] = {}
        for file, text in BLOCK.findall(page.read_text()):
            if f"{page.name}: {file}" in ELSEWHERE:
                continue
            files[file] = text
            if file == "conftest.py":
                found.append((f"{page.name}: {next(iter(files))}", files))
                files = {}
        assert not files, f"{page.name}: {list(files)} without a conftest.py"
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


def test_ordinary_tests_of_the_pages_pass(gym: Gym) -> None:
    pytest.importorskip("openai")
    blocks = re.compile(r"```python\n# tests/(test_\w+\.py)\n(.*?)```", re.DOTALL)
    found = [block for page in PAGES for block in blocks.findall(page.read_text())]
    for file, text in found:
        gym.file(text, file)
    result = gym.start(agentgym=False)
    assert found
    result.assert_outcomes(passed=len(found))


def test_every_command_is_in_the_table() -> None:
    parsers = [
        action.choices
        for action in _parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    table = (ROOT / "docs" / "reference" / "commands.md").read_text()
    documented = re.findall(r"^\| `agentgym ([\w-]+)", table, re.MULTILINE)
    assert sorted(documented) == sorted(*parsers)


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    documented = re.findall(r"^::: agentgym\.(\w+)$", page, re.MULTILINE)
    assert sorted({*agentgym.__all__, "testing"} - {"__version__"}) == sorted(
        documented
    )


def messages_of_code() -> Iterator[str]:
    """All texts in the packages, with `…` for what is put into them."""
    for package in ("agentgym", "pytest_agentgym"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(value, "value", "…") for value in node.values]
                    yield "".join(p if isinstance(p, str) else "…" for p in parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_messages_of_the_faq_stand_in_the_code() -> None:
    page = (ROOT / "docs" / "faq.md").read_text()
    asked = re.findall(r"^### (`+)(.*)\1$", page, re.MULTILINE)
    assert len(asked) > 20
    assert len(asked) == len(re.findall(r"^### ", page, re.MULTILINE))
    known = "\n".join(text.replace("\n", " ") for text in messages_of_code())
    missing = []
    for _, message in asked:
        pieces = re.split("…+", message)
        pattern = "[^\n]*".join(map(re.escape, pieces))
        if not re.search(pattern, known):
            missing.append(message)
    assert missing == []


def test_the_site_has_every_page() -> None:
    def pages(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            if isinstance(entry, str):
                yield entry
            else:
                for value in entry.values():
                    yield from pages(value if isinstance(value, list) else [value])

    site = tomllib.loads((ROOT / "zensical.toml").read_text())
    named = list(pages(site["project"]["nav"]))
    assert len(set(named)) == len(named)
    assert [name for name in named if not (ROOT / name).is_file()] == []
    paths = {page.relative_to(ROOT).as_posix() for page in DOCS}
    assert sorted(paths - set(named)) == []


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
