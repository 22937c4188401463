"""The dialogues that the embedded policy imitates, of each pack that is shipped."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

import agentgym
from agentgym.policy.build.framework_texts import FRAMEWORKS
from agentgym.policy.build.mistakes import MISTAKES
from agentgym.recording.blame import Outcome
from tests.played_pack import SCENARIOS, played, scenario_functions, scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentgym.playing.episode import Episode
    from agentgym.policy.build.spoken_pack import SpokenPack

VALUES = {
    "code_review": r"\bR\d{3}\b|\bsk\d{5}\b|\b[A-Z]{3}_[A-Z]+\b",
    "customer_support": r"\bA\d{4}\b|\bC\d{3}\b|\b\d+\.\d\d\b",
    "data_analysis": r"\b[QC]\d{3}\b|(?:returns|stock)_\d{3}\b|(?<==.')[A-Z][a-z]+",
    "email_calendar": r"\b[MED]\d{3}\b|\b\d+\.\d\d\b|\b20\d\d-\d\d-\d\d\b",
}
"""What the values look like that are held out, of each pack."""

WORLDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "code_review": lambda world: {"repository": world},
    "customer_support": lambda world: {"helpdesk": world},
    "data_analysis": lambda world: {"warehouse": world},
    "email_calendar": lambda world: {
        "office": world,
        "mailbox": world.mailbox,
        "diary": world.diary,
    },
}
"""What each pack's fixtures give."""


@pytest.fixture(params=sorted(VALUES))
def pack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def spoken(pack: str) -> SpokenPack:
    module = importlib.import_module(f"scenarios.{pack}.dialogues")
    return module.SPOKEN  # type: ignore[no-any-return]


@pytest.fixture
def scenarios(pack: str, pytestconfig: pytest.Config) -> dict[str, Any]:
    return scenario_functions(pack, pytestconfig)


def calls_of(dialogue: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for message in dialogue["messages"]
        for call in message.get("tool_calls", ())
    ]


def judged(
    dialogue: dict[str, Any], body: Any, pack: str, spoken: SpokenPack
) -> Episode:
    """The dialogue as an episode of its scenario."""
    case = dialogue["case"]
    world = type(spoken.situation(dialogue["scenario"], case, case).world).of(case)
    reply = str(dialogue["messages"][-1]["content"])
    follow = scripted(world.tools, calls_of(dialogue), reply, Exception)

    def agent(message: str) -> str:
        assert dialogue["messages"][1]["content"].endswith(message)
        return follow(message)

    episode = played(body, case, agent, WORLDS[pack](world))
    assert episode.error is None
    return episode


def in_its_words(dialogues: Any) -> list[dict[str, Any]]:
    """Those whose words are those of their case, so that the scenario says the same."""
    same = [d for d in dialogues if d["case"].split == d["words"].split]
    return [dialogue for dialogue in same if not dialogue["renamed"]]


def test_all_packs_are_here():
    assert sorted(f.parent.name for f in SCENARIOS.glob("*/oracles.py")) == [*VALUES]


def test_without_mistakes_they_pass(pack, spoken, scenarios):
    made = list(spoken.dialogues(1, 200))
    assert {dialogue["mistake"] for dialogue in made} == {None}
    assert {dialogue["scenario"] for dialogue in made} == set(spoken.scenarios)
    for dialogue in made:
        if dialogue["renamed"]:
            continue
        case, words = dialogue["case"], dialogue["words"]
        scene = spoken.situation(dialogue["scenario"], case, words)
        assert calls_of(dialogue) == scene.calls
    for dialogue in in_its_words(made)[:100]:
        episode = judged(dialogue, scenarios[dialogue["scenario"]], pack, spoken)
        assert episode.outcome is Outcome.passed, dialogue


def test_with_mistakes_most_fail(pack, spoken, scenarios):
    made = list(spoken.dialogues(2, 200, mistakes=1.0))
    assert {dialogue["mistake"] for dialogue in made} == set(MISTAKES)
    failed = [
        judged(each, scenarios[each["scenario"]], pack, spoken).outcome
        is Outcome.failed
        for each in in_its_words(made)[:100]
    ]
    assert sum(failed) / len(failed) > 0.75
    for dialogue in made:
        last = dialogue["messages"][-1]
        assert last["role"] == "assistant"
        assert last["content"]
        if dialogue["mistake"] == "malformed_call":
            _, broken, _ = last["content"].splitlines()
            with pytest.raises(ValueError, match=r"line \d+ column \d+"):
                json.loads(broken)


def test_as_many_have_a_mistake_as_asked_for(spoken):
    made = [dialogue["mistake"] for dialogue in spoken.dialogues(3, 300, mistakes=0.5)]
    assert 0.4 < sum(kind is not None for kind in made) / len(made) < 0.6


def test_nothing_that_is_held_out_is_said(pack, spoken):
    found = set()
    for dialogue in spoken.dialogues(4, 300, mistakes=0.7):
        text = "\n".join(str(message) for message in dialogue["messages"][1:])
        found |= set(re.findall(VALUES[pack], text))
    assert len(found) > 200
    assert [value for value in found if spoken.is_held_out(value)] == []


def test_the_words_of_both_splits_are_said(pack, spoken):
    language = importlib.import_module(f"scenarios.{pack}.language")
    asked = " ".join(d["messages"][1]["content"] for d in spoken.dialogues(5, 300))
    for split in ("train", "held_out"):
        for opening in filter(None, language.phrases(language.OPENINGS, split)):
            assert opening in asked


def test_things_that_are_called_by_few_words_have_other_names_in_some(spoken):
    made = list(spoken.dialogues(7, 300))
    renamed = [each for each in made if each["renamed"]]
    if not spoken.names:
        assert not renamed
        return
    assert 0.3 < len(renamed) / len(made) < 0.5
    name = re.compile(rf"\b(?:{'|'.join(spoken.names)})\b")
    for dialogue in renamed:
        assert not name.search(str(dialogue["messages"][1:]))
        # What a call looks for is what was asked for.
        asked = dialogue["messages"][1]["content"]
        for tool, arguments in calls_of(dialogue):
            if tool == "search_messages":
                assert f" {arguments['word']}" in asked


def test_the_same_seed_gives_the_same_dialogues(spoken):
    first, second = (list(spoken.dialogues(3, 40, mistakes=0.5)) for _ in range(2))
    assert first == second
    assert list(spoken.dialogues(4, 40, mistakes=0.5)) != first


def test_frameworks_write_in_their_own_ways():
    spoken = importlib.import_module("scenarios.customer_support.dialogues").SPOKEN
    made = list(spoken.dialogues(6, 200))
    assert {each["framework"] for each in made} == {each.name for each in FRAMEWORKS}
    results = {each.name: "" for each in FRAMEWORKS}
    for dialogue in made:
        system, user, *rest = dialogue["messages"]
        crew = dialogue["framework"] == "crewai"
        assert (spoken.goal in system["content"]) is crew
        assert (system["content"] == spoken.instructions) is not crew
        assert user["content"].startswith("\nCurrent Task: ") is crew
        told = [each["content"] for each in rest if each["role"] == "tool"]
        results[dialogue["framework"]] += "\n".join(["", *told])
    assert re.search(r'\n{"\w+": ', results["langchain"])
    assert re.search(r'\n{"\w+":\S', results["pydantic_ai"])
    assert re.search(r"\n{'\w+': ", results["autogen"])


@pytest.mark.slow  # importing frameworks takes seconds
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("langchain", "shipped"),
        ("pydantic_ai", "pydantic_ai"),
        ("autogen", "autogen"),
        ("openai_agents", "openai_agents"),
        ("crewai", "crewai"),
    ],
)
def test_it_is_what_the_framework_sends(monkeypatch, name, maker):
    from agentgym.testing import ScriptedModel, call, say
    from tests import framework_agents

    if not framework_agents.is_there(maker):
        pytest.skip(f"{maker} is not installed")
    texts = next(each for each in FRAMEWORKS if each.name == name)
    given = {"id": "A17", "prices": [1.5, 2], "notes": None}

    def look_up(order_id: str) -> dict:
        """Shows an order."""
        if order_id != "A17":
            if name == "pydantic_ai":  # its way to tell the model of an error
                from pydantic_ai import ModelRetry

                raise ModelRetry("no order")
            raise ValueError("no order")
        return given

    monkeypatch.setattr(framework_agents, "look_up", look_up)
    tools = (look_up, framework_agents.refund)
    monkeypatch.setattr(framework_agents, "TOOLS", tools)
    script = [call("look_up", order_id="A17"), call("look_up", order_id="A1")]
    with ScriptedModel([*script, say("Done.")]) as model:
        agent = framework_agents.MAKERS[maker][1](model.endpoint)
        agentgym.wrap(agent).run("Show A17.")
        sent = model.requests[-1]["messages"]
    system = texts.system.format(
        instructions=framework_agents.INSTRUCTIONS,
        role="Help desk",
        goal="Help customers",
    )
    contents = {
        role: [m["content"] for m in sent if m["role"] == role]
        for role in ("system", "user", "tool")
    }
    assert contents["system"] == [system]
    assert contents["user"] == [texts.user.format("Show A17.")]
    assert contents["tool"] == [texts.told(given), texts.told(ValueError("no order"))]
