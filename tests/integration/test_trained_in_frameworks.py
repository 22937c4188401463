"""A trained agent in each framework's own agent, on a real server; merged; served."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

from agentgym import ScenarioRegistry, TrainedAgent
from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server.process import healthy
from agentgym.policy.trained.agent_folder import save_agent
from tests.conftest import Gym
from tests.policy_agent import policy_agent
from tests.tiny_adapter import make_adapter
from tests.tiny_policy import make_tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# The embedded policy calls one of these tools in about every fifth conversation: in
# 200 of them it is sure to.
TOOLS = '''
from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Literal

import agentgym
from scenarios.customer_support.language import INSTRUCTIONS

QUESTION = "Greetings. Has A3987 left? Where is it? Many thanks."
calls: list[str] = []


def track_shipment(order_id: str) -> str:
    """Show where a parcel is."""
    calls.append(order_id)
    return '{"parcel": "moving", "depot": "D187"}'


def lookup_order(order_id: str) -> str:
    """Show an order."""
    calls.append(order_id)
    return '{"status": "shipped"}'


def open_ticket(order_id: str, priority: Literal["low", "high"]) -> str:
    """Open a ticket about an order."""
    return "{}"


tools = [track_shipment, lookup_order, open_ticket]
trained = agentgym.TrainedAgent.load("support")
'''

WITHOUT_ARGUMENTS = """
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CrewAI's, at its import
    import crewai

helped = agentgym.TrainedAgent.load("helped")
with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    agent = helped.to_langchain()
    asked = {"messages": [("user", "Where is my order A2946?")]}
    said = [message.type for message in agent.invoke(asked)["messages"]]
    crew, autogen = helped.to_crewai(), helped.to_autogen()
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    helped.to_langchain([lookup_order], "You sell.")
found = {
    "said": said[:2],
    "crew": [crew.goal, len(crew.tools)],
    "autogen": [autogen.name, [each.content for each in autogen._system_messages]],
    "warned": [str(each.message) for each in warned],
    "here": {Path(each.filename).name for each in warned} == {"<string>"},
}
Path(sys.argv[1]).write_text(json.dumps(found))
"""

IN_LANGCHAIN = """
from langgraph.checkpoint.memory import InMemorySaver

found = {}
for in_process in (False, True):
    settings = {"checkpointer": InMemorySaver(), "name": "me"}
    agent = trained.to_langchain(tools, INSTRUCTIONS, in_process=in_process, **settings)
    for turn in range(200):
        thread = {"configurable": {"thread_id": str(turn)}}
        asked = {"messages": [("user", QUESTION)]}
        if turn % 2:
            state = asyncio.run(agent.ainvoke(asked, thread))
        else:
            state = agent.invoke(asked, thread)
        if calls:
            break
    told = [message.content for message in agent.get_state(thread).values["messages"]]
    found[str(in_process)] = [agent.name, bool(calls), told[0] == QUESTION]
    calls.clear()
Path(sys.argv[1]).write_text(json.dumps(found))
"""

IN_ALL = """
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from crewai.tools import BaseTool

import os


class Look(BaseTool):
    name: str = "look"
    description: str = "Looks."

    def _run(self) -> str:
        return "nothing"


look = Look()
crew = trained.to_crewai(
    role="support", goal="help", tools=[*tools, look], max_iter=3
)
assert crew.tools[-1].name == "look", crew.tools
schema = crew.tools[2].args_schema.model_json_schema()["properties"]
assert schema["priority"]["enum"] == ["low", "high"], schema
said = crew.kickoff(QUESTION).raw
assert isinstance(said, str) and crew.max_iter == 3

from autogen_core.memory import ListMemory, MemoryContent

known = MemoryContent(content="I am Ada.", mime_type="text/plain")
memory = ListMemory(memory_contents=[known])
autogen = trained.to_autogen(
    name="support", tools=tools, system_message=INSTRUCTIONS, description="Helps."
)
remembering = trained.to_autogen(
    name="it", tools=[], system_message="Help.", memory=[memory]
)
assert asyncio.run(remembering.run(task=QUESTION)).messages[-1].source == "it"
assert autogen.description == "Helps."


async def until_a_tool_is_called():
    # The crew may have called one, too.
    calls.clear()
    for _ in range(200):
        result = await autogen.run(task=QUESTION)
        kinds = [type(message).__name__ for message in result.messages]
        if calls:
            return kinds
        await autogen.on_reset(None)


kinds = asyncio.run(until_a_tool_is_called())
at = trained.to_openai()
answer = at.client.chat.completions.create(
    model=at.model, messages=[{"role": "user", "content": QUESTION}], max_tokens=5
)
with agentgym.TrainedAgent.load("support") as other:
    same = other.to_openai() == at
found = {
    "said": said,
    "kinds": kinds,
    "model": answer.model,
    "same": same and crew.llm.base_url == at.base_url,
    "url": at.base_url,
}
Path(sys.argv[1]).write_text(json.dumps(found))
"""

CREW_AND_TOOLS = '''
import asyncio
import json
import sys
from pathlib import Path

from agentgym.policy.trained.clients import crewai_agent
from agentgym.testing import ScriptedModel, call, say

asked = []


async def lookup_order(order_id: "str") -> str:
    """Show an order."""
    asked.append(order_id)
    return "delivered"


with ScriptedModel([call("lookup_order", order_id="A17"), say("Done.")]) as model:
    settings = {"role": "support", "goal": "help", "backstory": ""}
    agent = crewai_agent(lambda: model.endpoint, [lookup_order], settings)
    said = agent.kickoff("Where is A17?").raw
    told = model.requests[-1]["messages"][-1]
found = [said, asked, told["role"], told["content"]]
Path(sys.argv[1]).write_text(json.dumps(found))
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has a trained agent, "support", which is the embedded policy as it was."""
    root = tmp_path_factory.mktemp("project")
    adapter = make_adapter(embedded_path(), root / "adapter", init_lora_weights=True)
    save(root, "support", adapter, "embedded")
    pack = ScenarioRegistry().get("customer_support")
    scenario, tools = (
        f"{pack.name}/test_it.py::test_it",
        [{"name": n} for n in pack.tools],
    )
    save(root, "helped", adapter, "embedded", scenario, system="You help.", tools=tools)
    return root


def save(
    root: Path,
    name: str,
    adapter: Path,
    base: str,
    scenario: str = "test_it.py::test_it",
    **prompt: Any,
) -> Path:
    card = {"base": {"spec": base}, "scenarios": [{"scenario": scenario}]}
    return save_agent(root, name, adapter, card | {"prompt": prompt})


def run(project: Path, code: str) -> Any:
    """The JSON that the code writes to the file it is told, in its own process."""
    # Not printed: CrewAI prints in a thread, whenever it likes.
    found = project / "found.json"
    found.unlink(missing_ok=True)
    quiet = {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "OTEL_SDK_DISABLED": "true",
        "HOME": str(project),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(found)],
        cwd=project,
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(found.read_text())


def test_in_langchain_with_a_server_and_without(project: Path) -> None:
    pytest.importorskip("langchain_openai")
    # Its name, a tool was called, the checkpointer has the conversation.
    expected = ["me", True, True]
    assert run(project, TOOLS + IN_LANGCHAIN) == {"False": expected, "True": expected}


def test_without_arguments_they_are_as_trained(project: Path) -> None:
    pytest.importorskip("langchain_openai")
    pytest.importorskip("crewai")
    pytest.importorskip("autogen_agentchat")
    found = run(project, TOOLS + WITHOUT_ARGUMENTS)
    assert found["said"] == ["human", "ai"]
    assert found["crew"] == ["You help.", 11]
    assert found["autogen"] == ["assistant", ["You help."]]
    tools, prompt = found["warned"]
    assert "helped_v1.0 was trained with another list of tools: lookup_order, " in tools
    assert "helped_v1.0 was trained with another prompt: 'You help.'" in prompt
    assert found["here"], "a warning names the user's own line"


def test_in_all_frameworks_on_one_server(project: Path) -> None:
    pytest.importorskip("crewai")
    pytest.importorskip("autogen_agentchat")
    found = run(project, TOOLS + IN_ALL)
    assert found["model"] == "support_v1.0"
    assert found["same"]
    # The policy samples: at times it says something before its call.
    kinds = [kind for kind in found["kinds"] if kind != "ThoughtEvent"]
    assert kinds[:3] == [
        "TextMessage",
        "ToolCallRequestEvent",
        "ToolCallExecutionEvent",
    ]
    # The tool's result went back to the model: max_tool_iterations.
    assert found["kinds"][-1] in ("TextMessage", "ToolCallSummaryMessage")
    assert len(found["kinds"]) > 3
    # The server has ended with the process.
    assert not healthy(PolicyEndpoint(base_url=found["url"], api_key="", model=""))


def test_a_function_is_a_tool_of_crewai(project: Path) -> None:
    pytest.importorskip("crewai")
    said, asked, role, content = run(project, CREW_AND_TOOLS)
    assert (said, asked) == ("Done.", ["A17"])
    assert (role, content) == ("tool", "delivered")


def test_a_merged_agent_is_measured_by_its_path(gym: Gym) -> None:
    root = gym.pytester.path
    base = make_tiny(root / "tiny", "qwen3")
    adapter = make_adapter(base, root / "adapter")
    agent = TrainedAgent.load(save(root, "mine", adapter, str(base)))
    agent.merge(root / "merged", dtype="float32")
    gym.conftest(policy_agent('choice["message"]["content"]', max_tokens=8))
    gym.file(
        """
        from agentgym import scenario

        @scenario(episodes=2)
        def test_it(agent, policy):
            agent.run("hello")
            assert policy.model in ("mine_v1.0", "merged")
        """
    )
    said = []
    for policy in ("mine", "merged"):
        result = gym.start(f"--agentgym-policy={policy}")
        assert gym.summary()["episodes"]["passed"] == 2, result.stdout.str()
        said += [episode["trajectory"]["messages"][-1] for episode in gym.episodes()]
    assert len(said) == 4
    assert all(message == said[0] for message in said)


# The command.


@contextlib.contextmanager
def served(project: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "agentgym.commands.main", "serve", *arguments]
    with subprocess.Popen(
        command,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_serving_on_the_command_line(project: Path) -> None:
    with served(project, "support", "--port", "0") as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:3] == ["serving", "support_v1.0", "at"]
        url = words[3]
        key = process.stdout.readline().removeprefix("key: ").strip()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/models")
        asked = urllib.request.Request(
            f"{url}/models", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(asked) as answer:
            assert json.load(answer)["data"][0]["id"] == "support_v1.0"
        port = url.removesuffix("/v1").rpartition(":")[2]
        with served(project, "support", "--port", port) as other:
            _, error = other.communicate(timeout=300)
        assert other.returncode == 4
        assert error.startswith(f"agentgym: cannot listen on 127.0.0.1:{port}: ")
        assert len(error.splitlines()) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert not healthy(PolicyEndpoint(base_url=url, api_key="", model=""))


def test_what_cannot_be_served(project: Path) -> None:
    for name, sentence in (
        ("nobody", "policy 'nobody' is neither an existing folder nor"),
        ("http://127.0.0.1:1/v1#m", "is a server already: give a model"),
    ):
        with served(project, name) as process:
            _, error = process.communicate(timeout=300)
        assert process.returncode == 4
        assert error.startswith("agentgym: ")
        assert sentence in error
