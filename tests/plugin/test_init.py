"""`agentgym init`: from a project with an agent to its first measured scenario."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.commands.agent_search import find_agents
from agentgym.commands.main import main

ANSWERS = """
def make_client():
    import openai  # asks a model elsewhere
    return openai.OpenAI()

def reply(message):
    return f"You said: {message}"
"""
LANGCHAIN = """
from langchain.agents import create_agent

def look_up(order: str) -> str:
    return "paid"

agent = create_agent("openai:gpt-5", tools=[look_up, tools.refund])
"""
SOURCES = {
    LANGCHAIN: ("agent", "object", (), "langchain", ("look_up", "refund")),
    """
from langgraph.graph import StateGraph
builder = StateGraph(dict)
builder.add_node("a", print)
graph = builder.compile()
""": ("graph", "object", (), "langchain", ()),
    """
from agents import Agent, function_tool
billing = Agent(name="billing")
triage: Agent = Agent(name="triage", handoffs=[billing], tools=[look_up])
""": ("triage", "object", (), "openai-agents", ("look_up",)),
    """
from crewai import Agent, Crew, Task
def make_crew(llm, *, verbose=False):
    clerk = Agent(role="Clerk", llm=llm)
    crew = Crew(agents=[clerk], tasks=[])
    return crew
""": ("make_crew", "factory", ("llm",), "crewai", ()),
    """
from pydantic_ai import Agent as Helper
def build():
    return Helper("openai:gpt-5", tools=[])
""": ("build", "factory", (), "pydantic-ai", ()),
    """
from autogen_agentchat.agents import AssistantAgent
def make(client, name="helper"):
    return AssistantAgent(name, model_client=client)
""": ("make", "factory", ("client",), "autogen", ()),
    """
from langchain.agents import create_agent
def make(): return create_agent("m", [look_up]).bind(context=1)
""": ("make", "factory", (), "langchain", ("look_up",)),
    ANSWERS: ("reply", "function", (), "", ()),
    """
from anthropic import AsyncAnthropic
async def answer(question, *, model="m"): ...
""": ("answer", "function", (), "", ()),
}


@pytest.mark.parametrize(("source", "wanted"), SOURCES.items())
def test_what_is_an_agent(tmp_path, source, wanted):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "support.py").write_text(source)
    (found,) = find_agents(tmp_path)
    assert found.module == "shop.support"
    assert (found.name, found.kind, found.needs, found.extra, found.tools) == wanted


@pytest.mark.parametrize(
    "source",
    [
        "agent = 7",
        "from mine import Agent\nagent = Agent()",
        "import openai\ndef helper(message): ...",
        "import openai\ndef reply(message, history): ...",
        "def broken(:",
        "from langchain.agents import create_agent",
    ],
)
def test_what_is_none(tmp_path, source):
    (tmp_path / "support.py").write_text(source)
    assert find_agents(tmp_path) == []


def test_where_is_looked(tmp_path):
    for folder in ("tests", ".venv/lib", "env/lib", "node_modules", "src/shop/inner"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "mine.py").write_text(ANSWERS)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    for folder in ("src/shop", "src/shop/inner"):
        (tmp_path / folder / "__init__.py").touch()
    (found,) = find_agents(tmp_path)
    assert (found.module, found.folder) == ("shop.inner.mine", tmp_path / "src")


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", "init", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("place", ["helper.py", "src/shop/helper.py"])
@pytest.mark.parametrize("own_conftest", [False, True])
def test_from_nothing_to_a_measured_scenario(gym, place, own_conftest):
    root = gym.pytester.path
    (root / "conftest.py").unlink()
    if own_conftest:
        (root / "conftest.py").write_text("# mine\n")
    path = gym.file(ANSWERS, place)
    if place.startswith("src"):
        (path.parent / "__init__.py").touch()
    ended = started(root)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"the agent: reply of {place}:" in ended.stdout
    assert "2/2 passed" in ended.stdout
    conftest = "scenarios/conftest.py" if own_conftest else "conftest.py"
    assert f"wrote {conftest}" in ended.stdout
    # What the user types next, where the current folder is not on the path.
    result = gym.start("scenarios")
    result.assert_outcomes(passed=1)
    assert gym.summary()["reliability"]["value"] == 1.0
    files = (conftest, "scenarios/test_first.py", ".github/workflows/agentgym.yml")
    written = {file: (root / file).read_text() for file in files}
    again = started(root, "--no-run")
    assert again.returncode == 0
    for file in files:
        assert f"kept {file}, which exists" in again.stdout
    for file, text in written.items():
        assert (root / file).read_text() == text


def test_a_factory_that_needs_something_is_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = "from crewai import Crew\ndef make(llm, shop): return Crew(agents=[])\n"
    (tmp_path / "crew.py").write_text(source)
    assert main(["init"]) == 0
    told = capsys.readouterr().out
    assert "but first give make its llm, shop in conftest.py" in told
    assert "return make(llm=..., shop=...)" in (tmp_path / "conftest.py").read_text()


@pytest.mark.parametrize(
    ("files", "arguments", "sentence"),
    [
        ({}, (), "no agent was found in the Python files here: run this in"),
        (
            {"one.py": ANSWERS, "two.py": ANSWERS},
            (),
            "more than one agent was found: choose one with --agent MODULE:NAME, of "
            "one:reply (one.py:6), two:reply (two.py:6)",
        ),
        (
            {"one.py": ANSWERS},
            ("--agent", "one:repl"),
            "--agent one:repl: there is no such agent; one:reply",
        ),
    ],
)
def test_misuse(tmp_path, monkeypatch, capsys, files, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["init", "--no-run", *arguments]) == 4
    assert capsys.readouterr().err.startswith(f"agentgym: {sentence}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_one_of_several_is_chosen(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(ANSWERS)
    assert main(["init", "--no-run", "--agent=two:reply"]) == 0
    assert "from two import reply" in (tmp_path / "conftest.py").read_text()
