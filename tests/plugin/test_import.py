"""`agentgym import`: from a conversation that happened to a scenario that is played."""

from __future__ import annotations

import json

import pytest

from agentgym.commands.main import main
from agentgym.testing import ScriptedModel, call, say
from tests import made_traces


@pytest.fixture
def here(gym, monkeypatch):
    (gym.pytester.path / "conftest.py").unlink()
    monkeypatch.chdir(gym.pytester.path)
    return gym.pytester.path


def write(path, values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


@pytest.mark.parametrize("city", ["Paris", "Rome"])
def test_it_is_played_again_with_what_the_tools_answered(gym, here, city, capsys):
    pytest.importorskip("langchain_openai")
    traces = write(here / "traces.jsonl", made_traces.OPENAI["fine-tuning"])
    assert main(["import", traces]) == 0
    told = capsys.readouterr().out
    assert "traces.jsonl: 1 conversation, OpenAI messages" in told
    assert "wrote 1 case into scenarios/imported" in told
    assert "masked: e-mail addresses (1); names of people are not recognised" in told
    assert "ada@" not in (here / "scenarios/imported/cases.jsonl").read_text()
    arguments = {"city": city, "to": "person1@example.com"}
    script = [call("get_weather", **arguments), say("57F.")]
    with ScriptedModel(script) as model:
        result = gym.start(
            f"--agentgym-policy={model.base_url}#m",
            "--agentgym-episodes=2",
            "scenarios/imported",
        )
        asked = model.requests[-1]["messages"]
    assert asked[0]["content"] == made_traces.SYSTEM
    assert asked[1]["content"].endswith("I am person1@example.com")
    right = city == "Paris"
    assert asked[-1]["content"].startswith(
        "rainy, 57F" if right else "error: get_weather(city='Rome', "
    )
    result.assert_outcomes(passed=right, failed=not right)
    first = gym.episodes()[0]
    assert [check["status"] for check in first["checks"]] == [
        "passed",
        "passed" if right else "failed",
    ]


def test_an_agent_of_ones_own(gym, here):
    traces = write(here / "traces.jsonl", made_traces.LANGFUSE["observations"])
    assert main(["import", traces, "--to", "mine", "--keep-personal-data"]) == 0
    gym.conftest("""
        import pytest
        from agentgym import tool, wrap

        @pytest.fixture
        def agent(tools):
            get_weather = tool(tools[0])
            return wrap(lambda text: get_weather(city="Paris", to="ada@mail.org"))
    """)
    gym.run("mine").assert_outcomes(passed=1)


def test_several_files_and_what_is_left_out(here, capsys):
    asked = {"messages": made_traces.MESSAGES[:2], "id": "unanswered"}
    # An id that looks like a card's number: another one would be another case.
    one = {"messages": [*made_traces.MESSAGES, made_traces.REPLY]}
    one["id"] = "4111111111111111"
    first = write(here / "a.jsonl", [asked, one])
    second = write(here / "b.jsonl", [one, one | {"id": "two"}])
    assert main(["import", first, second, "--mask", "Paris"]) == 0
    told = capsys.readouterr().out
    assert "left out 1 conversation: nothing after the user's last message" in told
    assert "left out 1 conversation: an earlier part, or a copy, of another" in told
    assert "wrote 2 cases" in told
    assert "Paris (2)" in told
    lines = (here / "scenarios/imported/cases.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [one["id"], "two"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere.jsonl",), "nowhere.jsonl: No such file or directory"),
        (("none.jsonl",), "no conversation of these files makes a case"),
        (("ok.jsonl", "--to", "full"), "full exists: name another folder with --to"),
        (("ok.jsonl", "--to", "file"), "file exists: name another folder with --to"),
        (("ok.jsonl", "--mask", "("), "--mask (: this is no pattern: "),
        (
            ("ok.jsonl", "--mask", "x", "--keep-personal-data"),
            "--mask masks personal data: leave --keep-personal-data out",
        ),
    ],
)
def test_misuse(here, capsys, arguments, sentence):
    write(here / "ok.jsonl", made_traces.OPENAI["list"])
    write(here / "none.jsonl", [{"messages": made_traces.MESSAGES[:1]}])
    (here / "full").mkdir()
    (here / "full" / "mine.py").touch()
    (here / "file").touch()
    assert main(["import", *arguments]) == 4
    assert capsys.readouterr().err.startswith(f"agentgym: {sentence}")
    assert not (here / "scenarios").exists()
