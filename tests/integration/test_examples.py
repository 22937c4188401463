"""Every example is measured, on a model that plays it right or wrong, and trained."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentgym.testing import Reply, ScriptedModel, call, say

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Talk:
    """A request's conversation: what the user wants, what tools were asked and told."""

    def __init__(self, request: dict[str, Any]) -> None:
        names: dict[str, str] = {}
        self.offered = {t["function"]["name"]: t for t in request.get("tools", ())}
        self.asked: dict[str, dict[str, Any]] = {}
        self.told: dict[str, str] = {}
        self.wishes: list[str] = []
        for message in request["messages"]:
            if message["role"] == "user":
                self.wishes.append(text(message))
            for made in message.get("tool_calls") or ():
                function = made["function"]
                names[made["id"]] = function["name"]
                self.asked[function["name"]] = json.loads(function["arguments"])
            if message["role"] == "tool":
                self.told[names[message["tool_call_id"]]] = text(message)

    @property
    def wish(self) -> str:
        return self.wishes[-1]

    def find(self, pattern: str) -> str:
        """From the latest message that has it."""
        found = [match for wish in self.wishes if (match := re.search(pattern, wish))]
        assert found, self.wishes
        return found[-1][1]

    def number(self, tool: str) -> int:
        [found] = re.findall(r"\d+", self.told[tool])
        return int(found)


def text(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    parts = [{"text": content}] if isinstance(content, str) else content
    return "".join(part["text"] for part in parts)


def calendar(talk: Talk) -> Reply:
    day = talk.find(r"on (\w+day)")
    if "list_events" not in talk.told:
        return call("list_events", day=day)
    events = json.loads(talk.told["list_events"])
    start = talk.find(r"(\d\d:\d\d)")
    taken = [event["title"] for event in events if event["start"] == start]
    if "Add" in talk.wish and taken:
        return say(f"That is the time of {taken[0]}.")
    if "Add" in talk.wish and "add_event" not in talk.told:
        return call("add_event", title="Physiotherapy", day=day, start=start)
    if "move" in talk.wish and "move_event" not in talk.told:
        [moved] = [e for e in events if f"move {e['title']} on" in talk.wish]
        return call("move_event", event_id=moved["id"], start=start)
    return say(f"It is at {start}.")


def warehouse(talk: Talk) -> Reply:
    pieces, item = int(talk.find(r"(\d+) \w+")), talk.find(r"\d+ (\w+)")
    if "count_stock" in talk.offered and "count_stock" not in talk.told:
        return call("count_stock", item=item)
    if "reserve" not in talk.offered and "count_stock" in talk.told:
        return say(talk.told["count_stock"])  # the counter of the crew
    if "customer" in talk.wish:
        if "reserve" not in talk.told:
            return call("reserve", item=item, pieces=pieces)
    elif "order_from_supplier" not in talk.told:
        counted = talk.told.get("count_stock") or talk.wish
        [there] = re.findall(rf"(\d+) pieces of {item}", counted)
        return call("order_from_supplier", item=item, pieces=pieces - int(there))
    return say(talk.told.get("reserve") or talk.told["order_from_supplier"])


def travel(talk: Talk) -> Reply:
    city = talk.find(r"to (\w+)\.")
    if "search_flights" not in talk.told:
        return call("search_flights", destination=city)
    found = re.findall(
        r"'number': '(\w+)', 'destination': '\w+', 'price': (\d+)",
        talk.told["search_flights"],
    )
    price, number = min((int(price), number) for number, price in found)
    budget = re.search(r"budget is (\d+)", talk.wish)
    if budget and int(budget[1]) < price:
        return say(f"The cheapest one costs {price} euros.")
    if "book_flight" not in talk.told:
        traveller = talk.find("Book (.*) on")
        return call("book_flight", number=number, traveller=traveller)
    return say(f"It is {number}.")


def bank(talk: Talk) -> Reply:
    if "transfer_to_cards" in talk.offered:
        team = "cards" if "card" in talk.wish else "payments"
        return call(f"transfer_to_{team}")
    if "list_cards" in talk.offered:
        if "list_cards" not in talk.told:
            return call("list_cards")
        [number] = re.findall(r"'credit': '(\d+)'", talk.told["list_cards"])
        if "freeze_card" not in talk.told:
            return call("freeze_card", number=number)
        return say(f"Card {number} is frozen.")
    if "get_balance" not in talk.told:
        return call("get_balance", account="checking")
    amount, there = int(talk.find(r"(\d+) euros")), talk.number("get_balance")
    if amount > there:
        return say(f"There are only {there} euros.")
    if "transfer" not in talk.told:
        return call("transfer", source="checking", target="savings", amount=amount)
    return say("It is done.")


def home(talk: Talk) -> Reply:
    room = talk.find(r"(?:the one in the|the) (\w+) (?:on|is|\d)")
    if "lights" in talk.wish:
        if "switch_light" in talk.told:
            return say("Good night!")
        rooms = {"nursery", "library", "attic"} - {room}
        first, second = (call("switch_light", room=r, on=False) for r in sorted(rooms))
        return first & second
    if "measure" not in talk.told:
        return call("measure", room=room)
    if "rings" in talk.wish:
        return say(f"I must not. It has {talk.told['measure']} degrees.")
    wanted = talk.number("measure") + int(talk.find(r"(\d+) degrees"))
    if "set_heating" not in talk.told:
        return call("set_heating", room=room, celsius=wanted)
    return say(f"It will have {wanted} degrees.")


def restaurant(talk: Talk) -> Reply:
    hour = talk.find(r"at (\d\d:\d\d)")
    if talk.asked.get("free_seats") != {"time": hour}:
        return call("free_seats", time=hour)
    guest, seats = talk.find(r"I am (\w+)"), int(talk.find(r"for (\d)"))
    if talk.number("free_seats") < seats:
        return say(f"There are too few seats at {hour}.")
    if "book_table" not in talk.told:
        return call("book_table", guest=guest, time=hour, seats=seats)
    return say(talk.told["book_table"])


def on_call(talk: Talk) -> Reply:
    service = talk.find(r"(?:that|whether) (\w+) is")
    if "read_log" not in talk.told:
        return call("read_log", service=service)
    log = talk.told["read_log"]
    if "memory" in log and "restart" not in talk.told:
        return call("restart", service=service)
    version = re.search(r"since version (\w+)", log)
    if version and "roll_back" not in talk.told:
        return call("roll_back", service=service, version=version[1])
    return say(f"I have looked after {service}.")


def library(talk: Talk) -> Reply:
    reader, title = talk.find(r"I am (\w+)"), talk.find(r"borrow (\w+)")
    if "count_copies" not in talk.told:
        return call("count_copies", title=title)
    tool = "lend" if talk.number("count_copies") else "reserve"
    if tool not in talk.told:
        return call(tool, title=title, reader=reader)
    return say(talk.told[tool])


def parcels(talk: Talk) -> Reply:
    if "track_shipment" not in talk.told:
        return call("track_shipment", order_id=talk.find(r"([A-Z]\d+)"))
    return say(f"Your parcel: {talk.told['track_shipment']}")


def is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@dataclass(frozen=True, kw_only=True)
class Example:
    """What is known of an example.

    Attributes:
        needs: The module of its framework.
        play: How a perfect model plays it.
        tools: Of these each request to its model offers one.
        trained: One of its scenarios.
    """

    needs: str
    play: Callable[[Talk], Reply]
    tools: set[str]
    trained: str

    @property
    def there(self) -> bool:
        return is_there(self.needs)


EXAMPLES = {
    "langchain": Example(
        needs="langchain_openai",
        play=calendar,
        tools={"list_events"},
        trained="test_calendar.py::test_event_is_moved",
    ),
    "crewai": Example(
        needs="crewai",
        play=warehouse,
        tools={"count_stock", "order_from_supplier"},
        trained="test_crew.py",
    ),
    "autogen": Example(
        needs="autogen_ext",
        play=travel,
        tools={"search_flights"},
        trained="test_travel.py::test_the_cheapest_flight_is_booked",
    ),
    "ag2": Example(
        needs="ag2",
        play=restaurant,
        tools={"free_seats"},
        trained="test_restaurant.py::test_a_full_hour_is_not_overbooked",
    ),
    "agent_framework": Example(
        needs="agent_framework_openai",
        play=on_call,
        tools={"read_log"},
        trained="test_on_call.py::test_a_bad_version_is_rolled_back",
    ),
    "openai_agents": Example(
        needs="agents",
        play=bank,
        tools={"transfer_to_cards", "list_cards", "get_balance"},
        trained="test_bank.py::test_money_is_moved",
    ),
    "pydantic_ai": Example(
        needs="pydantic_ai",
        play=home,
        tools={"measure"},
        trained="test_home.py::test_good_night",
    ),
    "mcp": Example(
        needs="langchain_mcp_adapters",
        play=library,
        tools={"count_copies"},
        trained="test_library.py::test_a_book_is_lent",
    ),
    "openai_client": Example(
        needs="openai",
        play=parcels,
        tools={"track_shipment"},
        trained="test_parcels.py",
    ),
}
"""By folder."""


def right(request: dict[str, Any]) -> Reply:
    """Plays each example right."""
    talk = Talk(request)
    [example] = [each for each in EXAMPLES.values() if each.tools & {*talk.offered}]
    return example.play(talk)


def idle(request: dict[str, Any]) -> Reply:
    """Does nothing."""
    return say("I cannot help.")


def busy(request: dict[str, Any]) -> Reply:
    """Does what is right, and then calls all the tools that are left."""
    reply, talk = right(request), Talk(request)
    left = [tool for name, tool in talk.offered.items() if name not in talk.told]
    if reply.calls or not left:
        return reply
    for tool in left:
        reply &= call(tool["function"]["name"], **made_up(tool["function"]))
    return reply


def made_up(function: dict[str, Any]) -> dict[str, Any]:
    values = {"string": "x", "integer": 1, "number": 1.0, "boolean": True}
    fields = function["parameters"].get("properties", {})
    return {name: values[field["type"]] for name, field in fields.items()}


Measured = tuple[int, dict[str, list[dict[str, Any]]], str]


INI = """
[pytest]
filterwarnings =
    error
    # Nobody closes the async clients of an agent.
    ignore:unclosed:ResourceWarning
"""
# Of a model that knows none of the tools, only this has rewards that surely differ.
BRIEF = """
from agentgym import scenario


@scenario(trainable_components={"output_generation": True})
def test_is_brief(agent):
    run = agent.run("My order A4821 came broken, and I moved house.")
    for most in range(150):
        assert len(run.reply) <= most
"""


class Project:
    """A folder with copies of the examples whose frameworks are installed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.examples = [name for name, each in EXAMPLES.items() if each.there]
        if not self.examples:
            pytest.skip("no framework is installed")
        for name in self.examples:
            shutil.copytree(ROOT / "examples" / name, root / "examples" / name)
        (root / "pytest.ini").write_text(INI)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Runs pytest in a process of its own; exit code, summary and output."""
        summary = self.root / "summary.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"),
                f"--agentgym-json={summary}",
                *arguments,
            ],
            cwd=self.root,
            # One example borrows the shipped scenarios' help desk.
            env={
                **os.environ,
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            timeout=600,
        )
        output = done.stdout + done.stderr
        assert summary.exists(), output
        return done.returncode, json.loads(summary.read_text()), output

    def train(self) -> tuple[int, dict[str, Any], str]:
        """Trains on one scenario of each example, and on one of brevity."""
        chosen = []
        for name in self.examples:
            folder = f"examples/{name}"
            source = BRIEF
            if name == "mcp":
                source = source.replace("def ", "async def ").replace(
                    "= agent", "= await agent"
                )
            (self.root / folder / f"test_brief_{name}.py").write_text(source)
            chosen += [
                f"{folder}/test_brief_{name}.py",
                f"{folder}/{EXAMPLES[name].trained}",
            ]
        settings = {
            "groups": len(chosen),
            "group_size": 8,
            "dynamic_sampling": False,
            "adaptive_cases": False,
        }
        (self.root / "config.json").write_text(json.dumps(settings))
        return self.run(
            *("--train", "--agentgym-train-config=config.json"),
            *("--agentgym-updates=1", "--agentgym-episodes=1", "--agentgym-save=all"),
            *chosen,
        )

    def lines(self, name: str) -> list[dict[str, Any]]:
        [path] = (self.root / ".agentgym/runs").glob(f"*/{name}")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def measure(self, play: Callable[[dict[str, Any]], Reply]) -> Measured:
        """Exit code, scenarios by example, and output."""
        with ScriptedModel(play) as model:
            code, summary, output = self.run(
                f"--agentgym-policy={model.base_url}#scripted",
                "--agentgym-episodes=2",
                "examples",
            )
        scenarios: dict[str, list[dict[str, Any]]] = {name: [] for name in EXAMPLES}
        for scenario in summary["scenarios"]:
            scenarios[Path(scenario["name"]).parts[1]].append(scenario)
        return code, scenarios, output


@pytest.fixture(scope="module")
def played_right(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Project(tmp_path_factory.mktemp("right")).measure(right)


@pytest.fixture(scope="module")
def played_idly(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Project(tmp_path_factory.mktemp("idle")).measure(idle)


@pytest.fixture(scope="module")
def played_busily(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Project(tmp_path_factory.mktemp("busy")).measure(busy)


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    # Not by importing it, which takes seconds.
    if not EXAMPLES[request.param].there:
        pytest.skip(f"{EXAMPLES[request.param].needs} is not installed")
    return str(request.param)


def test_the_agent_knows_nothing_of_agentgym(example: str) -> None:
    ours = ("conftest.py", "test_*.py")
    for path in (ROOT / "examples" / example).glob("*.py"):
        if not any(path.match(pattern) for pattern in ours):
            assert "agentgym" not in path.read_text()


def test_the_readme_begins_with_what_it_needs(example: str) -> None:
    text = (ROOT / "examples" / example / "README.md").read_text()
    block = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0]
    install, *commands = block.splitlines()
    extras = re.fullmatch(r"pip install '\.\[([\w,-]+)\]'[\w -]*", install)
    assert extras, install
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*extras[1].split(",")} <= project["optional-dependencies"].keys()
    for command in commands:
        assert command.startswith(f"pytest --agentgym examples/{example}")


def test_each_example_is_listed() -> None:
    index = (ROOT / "examples" / "README.md").read_text()
    listed = re.findall(r"^\| \[(\w+)\]\(\1\)", index, re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}
    assert folders == {*listed} == {*EXAMPLES, "github_actions"}


def test_what_is_right_passes(example: str, played_right: Measured) -> None:
    _, scenarios, output = played_right
    assert scenarios[example], output
    for scenario in scenarios[example]:
        assert scenario["passed"] == scenario["episodes"] == 2, output


def test_the_gate_is_met(played_right: Measured) -> None:
    code, _, output = played_right
    assert code == 0, output


@pytest.mark.parametrize("play", ["played_idly", "played_busily"])
def test_idling_and_calling_all_tools_earn_nothing(
    example: str, play: str, request: pytest.FixtureRequest
) -> None:
    code, scenarios, output = request.getfixturevalue(play)
    if (example, play) == ("openai_client", "played_busily"):
        pytest.skip("its one scenario forbids nothing")
    assert scenarios[example], output
    for scenario in scenarios[example]:
        assert scenario["episodes"] == 2, output
        assert scenario["passed"] == 0, output
        assert scenario["mean_reward"] == 0, output
    assert code == 1, output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, int, str]:
    if not is_there("agentlightning"):
        pytest.skip("agentlightning is not installed")
    project = Project(tmp_path_factory.mktemp("trained"))
    code, _, output = project.train()
    return project, code, output


def test_an_update_is_made(trained: tuple[Project, int, str]) -> None:
    project, code, output = trained
    assert code == 1, output  # the target is far
    [row] = project.lines("updates.jsonl")
    assert row["mismatch"] < 1e-3
    assert row["stale_share"] == 0
    assert row["lost_share"] == 0, output
    from agentgym import TrainedAgent

    agent = TrainedAgent.load("all_v1.0", root=project.root)
    assert "after" in agent.card()


def test_it_learns_from_each_example(
    example: str, trained: tuple[Project, int, str]
) -> None:
    project, _, output = trained
    rewards: dict[str, list[float]] = {}
    for episode in project.lines("episodes.jsonl"):
        if episode["scenario"].startswith(f"examples/{example}/"):
            assert episode["outcome"] in ("passed", "failed"), output
            if episode["phase"] == "train":
                rewards.setdefault(episode["scenario"], []).append(episode["reward"])
    own, brief = sorted(rewards, key=lambda name: "is_brief" in name)
    assert len(rewards[own]) == len(rewards[brief]) == 8
    assert any(len(set(earned)) > 1 for earned in rewards.values()), output
