"""How a training is shown: numbers, plain lines, the live panel, the last section."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from agentgym.recording.blame import Outcome
from agentgym.report.training import training_section
from agentgym.runs.prices import Prices
from agentgym.runs.spending import per_passed
from pytest_agentgym.training.dashboard import (
    Dashboard,
    TrainingLines,
    TrainingPanel,
    panel_rows,
)
from pytest_agentgym.training.progress import Progress
from tests.made_episodes import made_episode, made_row
from tests.made_run import made_interval


def episode(phase, outcome=Outcome.passed, *, tokens=0, tools=()):
    made = made_episode(0, outcome.value, tokens=tokens, tools=list(tools))
    made.phase = phase
    return made


def row(name, calls, correct, **counts):
    return made_row(name, calls=calls, correct=correct, **counts)


def play(dashboard, phase, outcomes, **fields):
    dashboard.phase(phase, len(outcomes))
    for outcome in outcomes:
        dashboard.progress.add(episode(phase, outcome, **fields))


P, F, I = Outcome.passed, Outcome.failed, Outcome.infra_error  # noqa: E741


def test_plain_lines():
    lines = []
    progress = Progress(0.95, minutes=20)
    dashboard = Dashboard(progress, lambda: TrainingLines(progress, lines.append))
    play(dashboard, "before", [P, F, F, I])
    for update in (1, 2):
        play(dashboard, "train", [P, P])
        dashboard.update({"update": update, "reward": 0.25, "zero_variance_groups": 3})
    play(dashboard, "validate", [P])
    dashboard.say("version 2: 100.0%")
    play(dashboard, "after", [P, P, P])
    dashboard.close()
    dashboard.close()
    assert [line.partition(" in ")[0] for line in lines] == [
        "measuring held-out cases before training: 4 episodes",
        "before: 33.3 % (1/3 episodes)",
        "training: 2 episodes",
        "update 1, reward 0.25, zero-variance groups 3, 0 s",
        "update 2, reward 0.25, zero-variance groups 3, 0 s",
        "validating on train cases that are not learned from: 1 episode",
        "version 2: 100.0%",
        "measuring the same held-out cases after training: 3 episodes",
        "after: 100.0 % (3/3 episodes)",
    ]
    assert lines[1].endswith("; 1 do not count")


def test_numbers():
    progress = Progress(0.9, minutes=1)
    progress.begin("train", 4)
    look, pay = (
        row("look", 2, 1),
        row("pay", 0, 0, missing=1),
    )
    progress.add(episode("train", P, tokens=30, tools=[look]))
    progress.add(episode("train", F, tokens=10, tools=[look, pay]))
    # Of the phase before, on its way for long: counted, but not in this phase.
    progress.add(episode("before", F, tokens=20))
    assert (progress.done, progress.passed, progress.counted) == (2, 1, 2)
    assert progress.episodes == 3
    assert progress.tokens == 20
    assert progress.tools() == {"look": (2, 4), "pay": (0, 1)}
    assert progress.reliability == 0.5
    assert 0 < progress.left <= 60
    progress.updated({"update": 1, "elapsed": 45.0})
    assert progress.left <= 15


def test_panel_rows():
    progress = Progress(0.95, minutes=20)
    assert dict(panel_rows(progress, 40))["phase"] == "starting"
    progress.begin("before", 1)
    progress.add(episode("before", P))
    progress.begin("train", 2)
    progress.updated({"update": 7, "reward": 0.5, "elapsed": 60.0})
    progress.add(episode("train", P, tokens=1200, tools=[row("look", 4, 3)]))
    rows = dict(panel_rows(progress, 40))
    assert rows["phase"] == "training"
    assert rows["episodes"].endswith(" 1/2, 2 in all")
    assert rows["reliability"].endswith(" 100.0 %")
    assert rows["last update"] == "update 7\nreward 0.5\n60 s"
    assert rows["before"] == "100.0 %"
    assert rows["tools"].strip() == "75.0 % look (3/4)"
    assert rows["tokens/episode"] == "600"
    assert rows["time left"] == "19:00 of 20:00"
    progress.add(episode("train", P))
    assert (
        dict(panel_rows(progress, 40))["phase"] == "training: learning from the batch"
    )


@pytest.mark.parametrize(("height", "tools"), [(12, 0), (24, 8), (50, 30)])
def test_the_panel_fits_the_terminal(height, tools):
    Console = pytest.importorskip("rich.console").Console
    screen = io.StringIO()
    progress = Progress(0.95, minutes=20)
    progress.begin("before", 1)
    progress.add(episode("before", P))
    progress.begin("train", 2)
    update = {"update": 7, "reward": 0.5, "entropy": 0.4, "kl": 0.1, "grad_norm": 0.2}
    progress.updated(update)
    called = [row(f"tool_{i}", 1, 1) for i in range(30)]
    progress.add(episode("train", P, tokens=9, tools=called))
    writer = SimpleNamespace(_tw=SimpleNamespace(_file=screen))
    panel = TrainingPanel(progress, writer, screen)
    Console(file=screen, width=80).print(panel.draw(80, height))
    text = screen.getvalue()
    assert "time left" in text
    assert "update 7" in text
    # The last line is the cursor's.
    assert len(text.splitlines()) < height
    assert text.count("tool_") == tools


def test_live_panel():
    pytest.importorskip("rich")
    screen = io.StringIO()
    progress = Progress(0.95, minutes=20)
    tw = SimpleNamespace(_file=screen, _current_line="")
    writer = SimpleNamespace(_tw=tw)
    dashboard = Dashboard(progress, lambda: TrainingPanel(progress, writer, screen))
    play(dashboard, "before", [P, F])
    dashboard.say("a line")
    play(dashboard, "train", [P])
    # As pytest does when a worker has died.
    tw._file.write("[gw0] node down\n")
    dashboard.update({"update": 1, "reward": 0.5})
    dashboard.close()
    assert tw._file is screen
    text = screen.getvalue()
    assert "agentgym training, target 95 %" in text
    assert "a line" in text
    assert "[gw0] node down" in text
    assert "before: 50.0 % (1/2 episodes)" in text
    assert "update 1" in text
    length = len(text)
    dashboard.close()
    assert len(screen.getvalue()) == length


@pytest.mark.parametrize(("width", "bars"), [(40, False), (80, True)])
def test_a_narrow_panel_shows_the_numbers_whole(width, bars):
    Console = pytest.importorskip("rich.console").Console
    screen = io.StringIO()
    progress = Progress(0.95, minutes=90)
    progress.begin("train", 1_000)
    progress.add(episode("train", P))
    writer = SimpleNamespace(_tw=SimpleNamespace(_file=screen))
    panel = TrainingPanel(progress, writer, screen)
    Console(file=screen, width=width).print(panel.draw(width, 24))
    text = screen.getvalue()
    line = next(x for x in text.splitlines() if "1/1000" in x)
    assert ("1/1000, 1 in all" in line, "\u2591" in line) == (True, bars)
    assert "1:30:00 of 1:30:00" in text


def test_section():
    training = {
        "before": made_interval(0.6, 0.5, 0.7),
        "after": made_interval(0.97, 0.93, 0.99),
        "difference": made_interval(0.37, 0.3, 0.44),
        "episodes": 2000,
        "updates": 1,
        "seconds": 90,
        "reason": "the target was met",
        "agent": ".agentgym/agents/shop/v1.0",
    }
    measured = {
        "before": [episode("before", P, tokens=100, tools=[row("look", 3, 1)])] * 2
        + [episode("before", F, tokens=100, tools=[row("look", 2, 1)])],
        "after": [episode("after", P, tokens=90, tools=[row("look", 1, 1)])],
    }
    training["per_passed"] = {
        phase: per_passed(episodes, Prices()) for phase, episodes in measured.items()
    }
    training["per_passed"]["before"]["usd"] = {"gpt-5": 0.0015}
    training["per_passed"]["after"]["usd"] = {"gpt-5": 0.0009}
    assert [line.text for line in training_section(training, 72)] == [
        "before     60.0 % (50.0-70.0 %)",
        "after      97.0 % (93.0-99.0 %)",
        "difference +37.0 points (+30.0 to +44.0), paired on the same cases",
        "took       2000 episodes, 1 update, 1.5 min",
        "tokens per passed episode: 150 before, 90.0 after (-40 %)",
        "tool calls per passed episode: 4.00 before, 1.00 after (-75 %)",
        "dollars per passed episode: $0.0015 before, $0.00090 after (-40 %), at",
        "           the price of gpt-5",
        "ended      the target was met",
        "saved      .agentgym/agents/shop/v1.0 (measure it again with",
        "           --agentgym-policy shop_v1.0)",
    ]


@pytest.mark.parametrize(
    ("gate", "met", "text"),
    [
        (
            "point",
            True,
            "looks      2 looks at held-out cases after training; at least 93.1 % at "
            "95 % confidence over all of them; the measured share is that of the first "
            "look that passed, which is optimistic: --agentgym-gate certified trains "
            "until the target is certain",
        ),
        (
            "certified",
            False,
            "looks      2 looks at held-out cases after training; at least 93.1 % at "
            "95 % confidence over all of them; 95 % is not certified; a further look "
            "would be at 99.625 % confidence",
        ),
    ],
)
def test_section_tells_what_is_certain_after_all_looks(gate, met, text):
    training = {
        "difference": {**made_interval(0.3, 0.1, 0.5), "paired": True, "cases": 8},
        "met": met,
        "gate": gate,
        "looks": 2,
        "at_least": 0.931,
        "next_confidence": 0.99625,
        "target": 0.95,
    }
    lines = [line.text for line in training_section(training, 400)]
    assert lines[0] == (
        "difference +30.0 points (+10.0 to +50.0), paired on the same 8 cases, for "
        "others of their kind"
    )
    assert lines[1] == text


def test_section_of_a_training_without_a_look():
    training = {"met": False, "looks": 0, "at_least": 0.287, "target": 0.3}
    lines = [line.text for line in training_section(training, 400)]
    assert lines[0] == (
        "looks      none at held-out cases after training; before it at least 28.7 % "
        "at 95 % confidence"
    )


@pytest.mark.parametrize("met", [False, True])
def test_section_names_what_never_passed(met):
    training = {"met": met, "never_passed": ["a.py::b"], "episodes": 8}
    lines = [line.text for line in training_section(training, 200)]
    assert any("never passed while it learned: 1 scenario" in x for x in lines) != met
    assert ("  a.py::b" in lines) != met


SIGN = {
    "kind": "no_call",
    "title": "passes without acting",
    "scenario": "a.py::b",
    "sentence": "31 of 32 made no tool call",
    "since": 3,
}


def test_section_has_the_signs_of_reward_hacking():
    together = SIGN | {"scenario": None, "title": "only train cases gain", "since": 7}
    lines = [x.text for x in training_section({"signs": [SIGN, together]}, 200)]
    assert lines[1:] == [
        "2 signs of reward hacking: ways to pass that training has brought. Read some "
        "of these episodes before you trust the reliability",
        "  a.py::b (passes without acting, since update 3)",
        "    31 of 32 made no tool call",
        "  all scenarios together (only train cases gain, since update 7)",
        "    31 of 32 made no tool call",
    ]


def test_the_panel_names_the_latest_sign():
    progress = Progress(0.95, minutes=20)
    progress.begin("train", 2)
    progress.updated({"update": 7, "signs": []})
    assert "reward hacking?" not in dict(panel_rows(progress, 40))
    later = SIGN | {"scenario": None, "title": "only train cases gain", "since": 7}
    progress.updated({"update": 7, "signs": [later, SIGN]})
    assert dict(panel_rows(progress, 40))["reward hacking?"] == (
        "2 signs, the latest: all scenarios together, only train cases gain"
    )


def test_section_of_a_training_that_was_interrupted():
    training = {"before": None, "after": None, "difference": None, "agent": None}
    lines = [line.text for line in training_section(training)]
    assert lines == ["took       0 episodes, 0 updates, 0 us"]


def test_cost_of_episodes_that_do_not_count():
    lost = episode("before", I, tokens=50)
    assert per_passed([lost], Prices()) is None
    assert per_passed([lost, episode("before", P, tokens=7)], Prices()) == {
        "tokens": 7,
        "tool_calls": 0,
        "usd": {},
    }


def test_another_engine_than_the_trainers_says_how_far_it_was():
    mismatch = {
        "engine": "vllm",
        "mean": 0.00321,
        "max": 0.21,
        "corrected_share": 0.0312,
        "truncated_share": 0.001,
    }
    training = {"mismatch": mismatch, "met": True}
    lines = [line.text for line in training_section(training, 400)]
    assert lines[1] == (
        "sampled    by vLLM, whose log-probabilities differ from the trainer's by "
        "0.003 on average (at most 0.2): 3.1 % of trained tokens corrected, 0.1 % at "
        "the limit"
    )
    mismatch |= {"engine": "own", "truncated_share": 0.0}
    lines = [line.text for line in training_section(training, 400)]
    assert lines[1].startswith("sampled    by half precision, whose")
    assert lines[1].endswith("3.1 % of trained tokens corrected")
    mismatch["corrected_share"] = 0.0
    lines = [line.text for line in training_section(training, 400)]
    assert not any("sampled" in line for line in lines)
