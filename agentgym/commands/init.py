"""The command `init`: the first scenario of a project, for the agent that it has."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentgym.cluster.pytest_process import run_pytest
from agentgym.commands.agent_search import FoundAgent, find_agents
from agentgym.commands.output_files import writing
from agentgym.distribution import DISTRIBUTION, install_command
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.runs.files.held_folder import HeldFolder

_SCENARIO = Path("scenarios", "test_first.py")
_WORKFLOW = Path(".github", "workflows", "agentgym.yml")
_MOST_SHOWN = 8


def init(options: argparse.Namespace) -> int:
    """Writes the files that are missing, and plays two episodes of the scenario."""
    root = Path.cwd()
    agent = _choose(find_agents(root), options.agent)
    print(f"the agent: {agent.name} of {agent.place}")
    conftest = _conftest_file(root)
    for file, text in (
        (conftest, "\n".join(_conftest(agent, root, conftest)) + "\n"),
        (_SCENARIO, _scenario(agent)),
        (_WORKFLOW, _workflow(agent)),
    ):
        _write(root, file, text)
    missing = agent.extra and importlib.util.find_spec(_PACKAGES[agent.extra]) is None
    if missing:
        print(f"its framework is not installed here: {install_command(agent.extra)}")
    print(
        f"next: put a question and checks of your own into {_SCENARIO}, then run\n"
        "    pytest --agentgym scenarios"
    )
    if agent.needs:
        needs = ", ".join(agent.needs)
        print(f"but first give {agent.name} its {needs} in {conftest}")
        return ExitCode.OK
    if options.no_run or missing:
        return ExitCode.OK
    print("playing two episodes:", flush=True)
    with HeldFolder() as folder:
        arguments = [str(_SCENARIO), "--agentgym-episodes=2"]
        ended = run_pytest(arguments, folder=folder, root=root)
    ended.raise_signal()
    return ended.code if ended.code >= 0 else 128 - ended.code


_PACKAGES = {
    "langchain": "langchain",
    "crewai": "crewai",
    "autogen": "autogen_agentchat",
    "openai-agents": "agents",
    "pydantic-ai": "pydantic_ai",
    "ag2": "ag2",
    "agent-framework": "agent_framework",
}


def _choose(found: list[FoundAgent], wanted: str | None) -> FoundAgent:
    """The agent that is meant.

    Raises:
        UsageError: There is none, or one of several has to be named.
    """
    if wanted is not None:
        chosen = [agent for agent in found if agent.ref == wanted]
        if not chosen:
            known = ", ".join(agent.ref for agent in found) or "none was found"
            raise UsageError(f"--agent {wanted}: there is no such agent; {known}")
        return chosen[0]
    if not found:
        raise UsageError(
            "no agent was found in the Python files here: run this in your agent's "
            "project, or write an `agent` fixture by hand (docs/how-to/agents.md)"
        )
    likeliest = [agent for agent in found if agent.kind == found[0].kind]
    if len(likeliest) > 1:
        shown = [f"{agent.ref} ({agent.place})" for agent in likeliest[:_MOST_SHOWN]]
        raise UsageError(
            "more than one agent was found: choose one with --agent MODULE:NAME, of "
            + ", ".join(shown)
        )
    return found[0]


def _conftest_file(root: Path) -> Path:
    """Where the fixture goes, or is: a conftest.py that is there stays as it is."""
    in_root, inner = Path("conftest.py"), Path("scenarios", "conftest.py")
    try:
        text = (root / in_root).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return in_root
    has_agent = "def agent(" in text
    return in_root if has_agent and not (root / inner).exists() else inner


def _write(root: Path, file: Path, text: str) -> None:
    path = root / file
    if path.exists():
        print(f"kept {file}, which exists")
        return
    with writing(file):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"wrote {file}")


def _conftest(agent: FoundAgent, root: Path, file: Path) -> Iterator[str]:
    name = "the_agent" if agent.name == "agent" else agent.name
    renamed = f" as {name}" if name != agent.name else ""
    outside = agent.folder != root and not _importable(agent.module)
    yield '"""The agent that agentgym measures."""'
    yield ""
    if outside:
        inner = agent.folder.relative_to(root).as_posix()
        above = len(file.parts) - 1
        yield "import sys"
        yield "from pathlib import Path"
        yield ""
        yield "import pytest"
        yield ""
        yield f'sys.path.insert(0, str(Path(__file__).parents[{above}] / "{inner}"))'
        yield ""
    else:
        yield "import pytest"
        yield ""
    yield f"from {agent.module} import {agent.name}{renamed}"
    yield ""
    yield ""
    yield "@pytest.fixture"
    yield "def agent():"
    if agent.extra:
        yield "    # To train its model, or to measure another one, take `policy`, too:"
        yield "    #     return agentgym.redirect(..., policy)"
    if agent.kind != "factory":
        yield f"    return {name}"
    elif not agent.needs:
        yield f"    return {name}()"
    else:
        needs = ", ".join(f"{need}=..." for need in agent.needs)
        yield f"    return {name}({needs})  # give it what it needs"


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _scenario(agent: FoundAgent) -> str:
    first = agent.tools[0] if agent.tools else "TOOL"
    known = f" (it has {', '.join(agent.tools)})" if agent.tools else ""
    return f'''\
"""The first scenario: ask what your users ask, and check what a good run looks like."""

from agentgym import must, scenario


@scenario(episodes=20)
def test_first_question(agent):
    run = agent.run("Hello, what can you do for me?")

    assert run.reply, must("a user gets an answer")
    assert len(run.calls) <= 5
    # Which tool is right{known}, with which arguments?
    # assert run.called("{first}", argument="value")
'''


def _workflow(agent: FoundAgent) -> str:
    extra = f"[{agent.extra}]" if agent.extra else ""
    return f"""\
name: agentgym

on: [pull_request]

jobs:
  reliability:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    permissions:
      contents: read
    env:
      OPENAI_API_KEY: ${{{{ secrets.OPENAI_API_KEY }}}} # what your agent's model needs
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install '{DISTRIBUTION}{extra}' # and your agent's own requirements
      - run: pytest --agentgym scenarios
"""


def add_init_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    command = commands.add_parser(
        "init",
        help="write the first scenario for the agent of this project",
        description="Finds the agent of this project, writes an `agent` fixture, a "
        "first scenario and a workflow for CI, and plays two episodes. Files that "
        "exist stay as they are.",
    )
    command.set_defaults(command=init)
    command.add_argument(
        "--agent",
        metavar="MODULE:NAME",
        help="which one, where more than one is found",
    )
    command.add_argument(
        "--no-run",
        action="store_true",
        help="do not play: the agent's model may cost money",
    )
