"""The name to install by: one constant, said rightly wherever it is said."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import agentgym
from agentgym.commands.agent_search import _MAKERS
from agentgym.commands.doctor import _ABILITIES
from agentgym.commands.init import _PACKAGES
from agentgym.distribution import DISTRIBUTION, install_command

ROOT = Path(agentgym.__file__).parents[1]
# Put together, or this file would be the first to be found.
STRANGER = "agent" + "gym"

_ALONE = rf"(?<![\w/.@+-]){STRANGER}(?![\w/.-])"
_COMMAND = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|conda)(?: \w+)* (?:install|add)\s+"
    r"|\b(?:uvx|pipx run)\s+|--with[ =]"
)
_REQUIREMENT = re.compile(
    rf"{_ALONE}\s*(?:\[|(?:==|>=|<=|~=|!=|<|>)\s*\d)"
    rf"|\b(?:install|update|upgrade) {_ALONE}"
)
_EXTRAS = re.compile(
    rf"(?:{DISTRIBUTION}|(?<=['\"])\.)\[([a-z][a-z-]*(?:,[a-z][a-z-]*)*)\]"
)


def tracked_texts() -> list[tuple[str, str]]:
    """Path and text of each file that git tracks and that is text."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no checkout")
    texts = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                texts.append((name, content.decode(errors="replace")))
    return texts


def strangers(name: str, text: str) -> list[str]:
    """Where a text would have its reader install somebody else's package."""
    places = [match.start() for match in _REQUIREMENT.finditer(text)]
    for command in _COMMAND.finditer(text):
        arguments = re.compile(r"[^\n`;&|]*").match(text, command.end())
        assert arguments is not None
        if re.search(_ALONE, arguments[0]):
            places.append(command.start())
    if re.search(r"(requirements|constraints)[^/]*\.txt$", name):
        lines = re.finditer(rf"^{STRANGER}\b(?!-)", text, re.MULTILINE)
        places += [match.start() for match in lines]
    numbers = {text.count("\n", 0, place) + 1 for place in places}
    return [f"{name}:{number}" for number in sorted(numbers)]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    path = ROOT / "pyproject.toml"
    if not path.exists():
        pytest.skip("no checkout")
    return tomllib.loads(path.read_text())["project"]


@pytest.mark.parametrize(
    "text",
    [
        f"run `pip install {STRANGER}`",
        f"pip install --quiet '{STRANGER}[train]'",
        f"uv pip install {STRANGER}",
        f"uv add --dev {STRANGER}",
        f"uvx {STRANGER} report latest",
        f"uv run --with {STRANGER} pytest",
        f"(`pip install\n{STRANGER}`)",
        f"with `{STRANGER}[tensorboard]` installed",
        f"dependencies = ['{STRANGER}>=0.1']",
        f"{STRANGER}==0.1.0",
        f"install {STRANGER} first",
        f"cannot read: update {STRANGER}",
    ],
)
def test_a_strangers_package_is_seen(text):
    assert strangers("docs/page.md", f"# Title\n{text}\n") == ["docs/page.md:2"]


@pytest.mark.parametrize(
    "text",
    [
        f"pip install 'pytest-{STRANGER}[train]'",
        f"pip install 'pytest-{STRANGER}==0.1.0'",
        f"pip install -e . && {STRANGER} report latest",
        f"pip install ./{STRANGER}.whl",
        f"pytest --{STRANGER}[a-z-]*",
        f"import {STRANGER}",
    ],
)
def test_what_is_right_is_left_alone(text):
    assert strangers("docs/page.md", text) == []


def test_a_requirement_without_a_version_is_seen():
    assert strangers("examples/requirements.txt", f"openai\n{STRANGER}\n") == [
        "examples/requirements.txt:2"
    ]


def test_nothing_makes_a_user_install_a_strangers_package():
    places = [
        place for name, text in tracked_texts() for place in strangers(name, text)
    ]
    assert places == [], f"write {DISTRIBUTION}: {STRANGER} on PyPI is another project"


def test_the_project_has_this_name(project):
    assert project["name"] == DISTRIBUTION
    assert install_command() == f"pip install '{DISTRIBUTION}'"
    named = [
        re.match(r"[\w-]+", requirement)[0]
        for extra in project["optional-dependencies"].values()
        for requirement in extra
    ]
    assert STRANGER not in named


def test_the_installed_version_is_the_packages():
    assert importlib.metadata.version(DISTRIBUTION) == agentgym.__version__


def test_the_extras_of_each_command_exist(project):
    extras, asked = set(project["optional-dependencies"]), 0
    for package in ("agentgym", "pytest_agentgym"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(call, ast.Call)
                    and ast.unparse(call.func) == "install_command"
                ):
                    said = [arg for arg in call.args if isinstance(arg, ast.Constant)]
                    names = {argument.value for argument in said}
                    where = f"{path.relative_to(ROOT)}:{call.lineno}"
                    assert names <= extras, where
                    asked += 1
    assert asked > 5
    named = {extra for _, extra in _ABILITIES if extra}
    named |= {extra for _, extra in _MAKERS.values()}
    assert named | _PACKAGES.keys() <= extras


def test_the_extras_that_a_text_names_exist(project):
    extras = set(project["optional-dependencies"])
    for name, text in tracked_texts():
        for match in _EXTRAS.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            assert set(match[1].split(",")) <= extras, f"{name}:{line}"
