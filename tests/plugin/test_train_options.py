"""`--train`: each mistake is reported in one sentence before anything starts."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from agentgym.playing.in_flight import default_concurrency
from pytest_agentgym.training import setting_up
from pytest_agentgym.training.setting_up import default_name, hold

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("agentlightning") is None,
    reason="these are reported where training is possible",
)

SCENARIO = """
    from agentgym import scenario

    @scenario
    def test_order(agent):
        assert agent.run("look_up=7").called("look_up")
"""


def sentence_of(result: pytest.RunResult) -> str:
    """The one sentence of a usage error."""
    assert result.ret == 4
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("ERROR: ")
    return lines[0].removeprefix("ERROR: ")


def test_train_alone(gym):
    gym.file(SCENARIO)
    line = sentence_of(gym.run("--train", agentgym=False))
    assert line.endswith("write pytest --agentgym --train")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--agentgym-listen=0.0.0.0:8080"],
            "--agentgym-listen 0.0.0.0:8080: give the address by which other machines",
        ),
        (
            ["--agentgym-listen=10.0.0.5:8080"],
            "--agentgym-listen 10.0.0.5:8080: set AGL_KEY, here and for the runners,",
        ),
        (
            ["--agentgym-trainer=ray"],
            "--agentgym-trainer ray: choose own or verl",
        ),
        (
            ["--agentgym-dry-run"],
            "--agentgym-dry-run belongs to verl: add --agentgym-trainer verl",
        ),
        (
            ["--agentgym-trainer-config=a.yaml"],
            "--agentgym-trainer-config belongs to verl: add --agentgym-trainer verl",
        ),
        (
            ["--agentgym-trainer=verl", "--agentgym-resume"],
            "--agentgym-resume has no place beside --agentgym-trainer verl: train",
        ),
        pytest.param(
            ["--agentgym-trainer=verl", "--agentgym-trainer-config=none.yaml"],
            "--agentgym-trainer-config ",
            marks=needs_extra,
        ),
        (["--agentgym-target=95"], "--agentgym-target 95: give a share above 0 and"),
        (["--agentgym-target=x"], "--agentgym-target x: give a share above 0 and"),
        (["--agentgym-updates=0"], "--agentgym-updates 0: give a whole number of at"),
        (["--agentgym-updates=2.5"], "--agentgym-updates 2.5: give a whole number"),
        (["--agentgym-budget=20"], "--agentgym-budget 20: give a duration such as"),
        (["--agentgym-budget=0m"], "--agentgym-budget 0m: give a duration such as"),
        (["--agentgym-components=tools"], "--agentgym-components tools: name what"),
        (
            ["--agentgym-components=tool_execution"],
            "--agentgym-components tool_execution: tool_execution is what happens "
            "within the tool: the model samples no token of it, so there is nothing to "
            "train; choose from tool_selection, parameter_selection, reasoning, "
            "output_generation",
        ),
        (
            ["--agentgym-components=tool_selection,tool_execution"],
            "--agentgym-components tool_selection,tool_execution: tool_execution is ",
        ),
        (["--agentgym-components=,"], "--agentgym-components ,: name what is"),
        (["--agentgym-save=../mine"], "--agentgym-save: '../mine' cannot be an ag"),
        (["--agentgym-save=mine_v1.2"], "--agentgym-save: 'mine_v1.2' cannot be"),
        (["--agentgym-resume=test_it.py"], "--agentgym-resume test_it.py: this is no"),
        pytest.param(
            ["--agentgym-resume"],
            "--agentgym-resume: there is no training in ",
            marks=needs_extra,
        ),
        pytest.param(
            ["--agentgym-resume=20260101-120000-ab"],
            "--agentgym-resume 20260101-120000-ab: there is no training ",
            marks=needs_extra,
        ),
        (["--agentgym-split=train"], "--agentgym-split has no place beside --train:"),
        (["--agentgym-threshold=0.9"], "--agentgym-threshold has no place beside"),
        (["--agentgym-gate=tolerant"], "--agentgym-gate tolerant has no place beside"),
        (["--agentgym-stop=fixed"], "--agentgym-stop has no place beside --train:"),
        (["--pdb"], "--pdb has no place beside --train: stop in an episode without"),
        (["--agentgym-train-config=no.json"], "--agentgym-train-config no.json: No"),
        pytest.param(
            ["--agentgym-policy=http://127.0.0.1:9/v1#gpt-9"],
            "vLLM at http://127.0.0.1:9/v1 does not answer: ",
            marks=needs_extra,
        ),
        pytest.param(
            ["--agentgym-policy=nowhere"],
            "policy 'nowhere' is neither an existing",
            marks=needs_extra,
        ),
    ],
)
def test_values(gym, arguments, sentence):
    gym.file(SCENARIO)
    assert sentence_of(gym.run("--train", *arguments)).startswith(sentence)


@needs_extra
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "--agentgym-train-config c.json: not valid JSON: "),
        ("[1]", "--agentgym-train-config c.json: write an object of settings, such"),
        ('{"speed": 1}', "{path}: there is no setting 'speed'; the settings are tar"),
        ('{"group_size": 1}', "{path}: group_size=1: Input should be greater than"),
        ('{"loss": "ppo"}', "{path}: loss='ppo': Input should be "),
        (
            '{"components": ["tool_execution"]}',
            "{path}: components=['tool_execution']: tool_execution is what happens ",
        ),
        ('{"components": []}', "{path}: components=[]: name what is trained, one or "),
        ('{"components": ["x"]}', "{path}: components=['x']: name what is trained, "),
    ],
)
def test_settings_file(gym, text, sentence):
    gym.file(SCENARIO)
    path = gym.pytester.path / "c.json"
    path.write_text(text)
    line = sentence_of(gym.run("--train", "--agentgym-train-config=c.json"))
    assert line.startswith(sentence.replace("{path}", str(path)))


@pytest.mark.parametrize(
    "option", ["target=0.9", "updates=3", "budget=5m", "save=x", "resume"]
)
def test_options_that_need_train(gym, option):
    gym.file(SCENARIO)
    name = option.partition("=")[0]
    line = sentence_of(gym.run(f"--agentgym-{option}"))
    assert line == f"--agentgym-{name} belongs to a training: add --train"


def test_an_old_python(gym, monkeypatch):
    gym.file(SCENARIO)
    monkeypatch.setattr(setting_up, "PYTHON", (3, 11))
    assert sentence_of(gym.run("--train")) == (
        "--train needs Python 3.12 or newer (Agent Lightning does); measuring works "
        "here"
    )


@needs_extra
def test_a_missing_extra(gym, monkeypatch):
    gym.file(SCENARIO)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "agentlightning" else find(name, *more),
    )
    line = sentence_of(gym.run("--train"))
    assert line == (
        "--train needs agentlightning: run pip install 'pytest-agentgym[train]'"
    )


def resumable(gym, run="20260101-120000-ab"):
    folder = gym.pytester.path / ".agentgym" / "runs" / run
    folder.mkdir(parents=True)
    known = {"policy": "embedded", "seed": 3, "save": "x", "config": {}}
    (folder / "training.json").write_text(json.dumps(known))
    return folder


@needs_extra
def test_a_resumed_training_is_the_same_one(gym):
    gym.file(SCENARIO)
    resumable(gym)
    line = sentence_of(gym.run("--train", "--agentgym-seed=4", "--agentgym-resume"))
    assert line.startswith("--agentgym-seed 4: the training in ")
    assert line.endswith(" has 3; leave the option out, or start a new training")


@needs_extra
def test_a_finished_training_is_left_alone(gym):
    from agentgym.training.loop.checkpoint import FORMAT

    gym.file(SCENARIO)
    early = resumable(gym)
    (early / "updates.jsonl").touch()
    (early / "training").mkdir()
    state = {"format": FORMAT, "tensors": "x", "validated": {}}
    (early / "training" / "state.json").write_text(json.dumps(state))
    done = resumable(gym, "20260102-120000-cd")
    (done / "updates.jsonl").touch()
    assert sentence_of(gym.run("--train", f"--agentgym-resume={done.name}")) == (
        f"--agentgym-resume {done.name}: that training is finished; train its agent "
        "further with --agentgym-policy x"
    )
    # The latest that ended early is the one before it.
    line = sentence_of(gym.run("--train", "--agentgym-seed=4", "--agentgym-resume"))
    assert line.startswith(f"--agentgym-seed 4: the training in {early} has 3")
    (early / "training" / "state.json").unlink()
    line = sentence_of(gym.run("--train", "--agentgym-resume"))
    assert line.endswith(" that ended early; start one without it")


@needs_extra
def test_a_training_that_still_runs(gym):
    gym.file(SCENARIO)
    held = hold(resumable(gym))
    line = sentence_of(gym.run("--train", "--agentgym-resume"))
    os.close(held)
    assert line.endswith("is still running; wait for its end, or stop it with Ctrl-C")


@needs_extra
def test_a_damaged_training(gym):
    gym.file(SCENARIO)
    resumable(gym)
    next(gym.pytester.path.rglob("training.json")).write_text("{")
    line = sentence_of(gym.run("--train", "--agentgym-resume"))
    assert line.endswith("is damaged (JSONDecodeError): start a new training")


@pytest.mark.parametrize(
    ("scenarios", "name"),
    [
        (["packs/support/test_a.py::test_x"], "support"),
        (["packs/support/a/test_a.py::x", "packs/support/b/test_b.py::x"], "support"),
        (["test_a.py::test_x"], "my-project"),
        (["packs/embedded/test_a.py::test_x"], "embedded-agent"),
        (["packs/shop_v2/test_a.py::test_x"], "shop_v2-agent"),
    ],
)
def test_the_agents_name(tmp_path, scenarios, name):
    assert default_name(tmp_path / "my-project", scenarios) == name


@needs_extra
def test_settings_are_read(gym):
    (gym.pytester.path / "c.json").write_text('{"learning_rate": 0.5, "target": 0.1}')
    gym.more_conftest("""
        from pytest_agentgym.training.setting_up import Start

        def pytest_report_header(config):
            start = Start.read(config)
            return "settings " + start.config.model_dump_json(exclude_unset=True)
    """)
    result = gym.run(
        "--train",
        "--agentgym-train-config=c.json",
        "--agentgym-target=0.9",
        "--agentgym-budget=1h30m",
        "--agentgym-updates=7",
        "--agentgym-components=tool_selection, output_generation",
        "--collect-only",
    )
    line = next(x for x in result.stdout.lines if x.startswith("settings "))
    found = json.loads(line.removeprefix("settings "))
    assert sorted(found.pop("components")) == ["output_generation", "tool_selection"]
    assert found == {
        "target": 0.9,
        "minutes": 90.0,
        "updates": 7,
        "learning_rate": 0.5,
    }


MODEL = """
    from pytest_agentgym.training.setting_up import Start

    def pytest_report_header(config):
        start = Start.read(config)
        return [
            f"rate {start.config.learning_rate} {start.chosen}",
            f"in flight {start.in_flight}",
        ]
"""


@needs_extra
def test_the_gate_of_measurements_may_stand_in_the_settings(gym):
    gym.file(SCENARIO)
    gym.more_conftest(MODEL)
    gym.pytester.makeini("[pytest]\naddopts = --agentgym-threshold=0.8")
    assert gym.run("--train", "--collect-only").ret == 0
    given = gym.run("--train", "--agentgym-threshold", "0.9")
    assert given.ret == pytest.ExitCode.USAGE_ERROR


@needs_extra
def test_a_large_model_or_a_gpu_gets_more_episodes_in_flight(gym):
    gym.file(SCENARIO)
    gym.more_conftest(MODEL)
    large_model(gym.pytester.path / "model")
    for device in ("cpu", "cuda"):
        file = gym.pytester.path / f"{device}.json"
        file.write_text(json.dumps({"device": device}))

    def in_flight(device: str, *arguments: str) -> str:
        config = f"--agentgym-train-config={device}.json"
        result = gym.run("--train", "--collect-only", config, *arguments)
        told = (x for x in result.stdout.lines if x.startswith("in flight "))
        return next(told).removeprefix("in flight ")

    large = "--agentgym-policy=model"
    assert in_flight("cpu") == str(default_concurrency())
    assert in_flight("cpu", large) == "64"
    assert in_flight("cuda", large) == "128"
    # Only the trainer has the GPU.
    assert in_flight("cuda", large, "--agentgym-devices=sampler=cpu") == "64"


def large_model(folder: Path) -> None:
    """A model of 135 million parameters, whose file has its size but no content."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "chat_template.jinja").write_text("{{ tools }}")
    size = 135_000_000
    header = {"w": {"dtype": "F16", "shape": [size], "data_offsets": [0, 2 * size]}}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2 * size)


@needs_extra
def test_the_learning_rate_depends_on_the_models_size(gym):
    gym.file(SCENARIO)
    gym.more_conftest(MODEL)
    large_model(gym.pytester.path / "model")
    # Whatever this machine has.
    (gym.pytester.path / "cpu.json").write_text('{"device": "cpu"}')
    own = '{"learning_rate": 0.5, "groups": 16, "epochs": 2}'
    (gym.pytester.path / "c.json").write_text(own)

    def rate(*arguments: str) -> str:
        result = gym.run("--train", "--collect-only", *arguments)
        return next(x for x in result.stdout.lines if x.startswith("rate ")).strip()

    large = "--agentgym-policy=model"
    assert rate() == "rate 0.002"
    assert rate(large, "--agentgym-train-config=cpu.json") == (
        "rate 0.0003 learning rate 3e-04, batches of 8 cases and one pass over a "
        "batch, as the model has 135 million parameters and is trained on a CPU"
    )
    assert rate(large, "--agentgym-train-config=c.json") == "rate 0.5"
    # A training that began before rates were chosen goes on with the one it had.
    folder = resumable(gym)
    state = json.loads((folder / "training.json").read_text()) | {"policy": "model"}
    (folder / "training.json").write_text(json.dumps(state))
    assert rate("--agentgym-resume") == "rate 0.002"
    state["config"] = {"learning_rate": 3e-4}
    (folder / "training.json").write_text(json.dumps(state))
    assert rate("--agentgym-resume") == "rate 0.0003"


@needs_extra
def test_a_training_of_another_version(gym):
    """It is refused before anything is started, and what it left stays."""
    gym.file(SCENARIO)
    folder = resumable(gym)
    (folder / "training").mkdir()
    (folder / "training" / "state.json").write_text('{"format": 1}')
    (folder / "summary.json").write_text("what it came to")
    line = sentence_of(gym.run("--train", "--agentgym-resume"))
    assert line == (
        f"the training in {folder} cannot be resumed: another version of agentgym "
        "wrote it; start a new one"
    )
    assert (folder / "summary.json").read_text() == "what it came to"
