"""Hostile folders at every way in: one sentence, the exit code of usage errors."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("transformers")

from agentgym import TrainedAgent, UsageError
from agentgym.exit_code import ExitCode
from agentgym.policy.folders.weights_digest import weights_digest
from agentgym.policy.trained.agent_folder import save_agent
from tests.hostile_folders import LOADED, SEEN, TRIED, Change, copied, write
from tests.policy_agent import policy_agent
from tests.tiny_adapter import make_adapter

if TYPE_CHECKING:
    from tests.conftest import Gym

pytestmark = pytest.mark.slow

SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_one(agent):
        assert agent.run("hi").reply
"""
MEASURED = {
    **{name: SEEN[name] for name in ("hidden_size", "a_pipe_of_tokens", "a_link_out")},
    "expression": TRIED["expression"],
    "more_layers": LOADED["more_layers"],
}
SERVED = {
    **{name: SEEN[name] for name in ("shard_elsewhere", "nan", "gguf_with_a_program")},
    **{name: LOADED[name] for name in ("escaping_token", "own_code")},
    "template_of_gigabytes": TRIED["template_of_gigabytes"],
}


def said(*texts: str) -> str:
    """All output; it has no traceback, and nothing that a terminal obeys."""
    text = "\n".join(texts)
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert "\x1b]" not in text
    return " ".join(text.split())


def command(folder: Path, *arguments: str) -> str:
    """What a command of ours says that refuses something."""
    done = subprocess.run(
        [sys.executable, "-m", "agentgym.commands.main", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert done.stdout == ""
    text = said(done.stderr)
    assert done.stderr.count("\n") == 1
    assert text.startswith("agentgym: ")
    return text


def hostile(folder: Path, change: Change) -> Path:
    copied(folder)
    change(folder)
    return folder


@pytest.fixture
def asking(gym: Gym) -> Gym:
    """A project whose agent asks the policy for a few tokens."""
    gym.conftest(policy_agent("choice", max_tokens=4))
    gym.file(SCENARIO)
    return gym


@pytest.mark.parametrize(("change", "sentence"), MEASURED.values(), ids=MEASURED)
def test_a_measurement_is_refused(asking: Gym, change: Change, sentence: str) -> None:
    folder = hostile(asking.pytester.path / "model", change)
    result = asking.start(f"--agentgym-policy={folder}")
    assert result.ret == ExitCode.USAGE
    text = said(result.stdout.str(), result.stderr.str())
    _assert_found(sentence, text)


def test_workers_are_refused_once(asking: Gym) -> None:
    change, sentence = SEEN["layers"]
    folder = hostile(asking.pytester.path / "model", change)
    result = asking.start("-n2", f"--agentgym-policy={folder}", plugins=("xdist",))
    assert result.ret == ExitCode.USAGE
    _assert_found(sentence, said(result.stdout.str(), result.stderr.str()))


@pytest.mark.parametrize(("change", "sentence"), SERVED.values(), ids=SERVED)
def test_serving_is_refused(change: Change, sentence: str, tmp_path: Path) -> None:
    hostile(tmp_path / "model", change)
    _assert_found(sentence, command(tmp_path, "serve", "./model", "--port", "0"))


def test_training_is_refused(asking: Gym) -> None:
    pytest.importorskip("agentlightning")
    change, sentence = SEEN["hidden_size"]
    folder = hostile(asking.pytester.path / "model", change)
    result = asking.start("--train", f"--agentgym-policy={folder}")
    assert result.ret == ExitCode.USAGE
    _assert_found(sentence, said(result.stdout.str(), result.stderr.str()))


# Trained agents.

CARD = {"scenarios": [{"scenario": "test_a.py::test_one"}]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and an adapter of it."""
    home = tmp_path_factory.mktemp("base")
    model = copied(home / "model")
    return model, make_adapter(model, home / "adapter")


@pytest.fixture
def agent(base: tuple[Path, Path], tmp_path: Path) -> Path:
    """A trained agent's version in the project `tmp_path`."""
    card: dict[str, Any] = CARD | {"base": {"spec": str(base[0])}}
    return save_agent(tmp_path, "mine", base[1], card)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "../../up"}, "'name' is '../../up': string should match pattern"),
        ({"version": "\x1b[2J"}, r"'version' is '\x1b[2J': string should match"),
        ({"base": {"spec": "/", "digest": "0" * 64}}, "/ is no model folder: it has"),
        ({"after": {"value": [1]}}, "'after.value' is [1]: input should be a valid"),
    ],
)
def test_an_agent_is_refused(agent: Path, fields: Any, sentence: str) -> None:
    file = agent / "agent.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    project = agent.parents[3]
    if "base" not in fields:
        assert sentence in command(project, "agents", "show", "mine")
    for arguments in (("serve", "mine"), ("merge", "mine", "new")):
        assert sentence in command(project, *arguments)
    with pytest.raises(UsageError) as error:
        TrainedAgent.load("mine", project)
    assert sentence in str(error.value)


def test_a_measured_agent_is_refused(asking: Gym, base: tuple[Path, Path]) -> None:
    root = asking.pytester.path
    agent = save_agent(root, "mine", base[1], CARD | {"base": {"spec": str(base[0])}})
    write("agent.json", "[" * 100_000)(agent)
    result = asking.start("--agentgym-policy=mine")
    assert result.ret == ExitCode.USAGE
    text = said(result.stdout.str(), result.stderr.str())
    assert "agent.json is corrupted: it is nested too deeply" in text


def test_a_base_model_that_has_become_hostile(agent: Path, tmp_path: Path) -> None:
    """The digest is of the weights; whoever changes another file is found, too."""
    model = copied(tmp_path / "own")
    TRIED["template_of_gigabytes"][0](model)
    card = json.loads((agent / "agent.json").read_text())
    card["base"] = {"spec": str(model), "digest": weights_digest(model)}
    (agent / "agent.json").write_text(json.dumps(card))
    trained = TrainedAgent.load(agent)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for use in (trained.serve, lambda: trained.merge(tmp_path / "new")):
        with pytest.raises(UsageError, match="it takes too much memory"):
            use()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < 500_000_000


def _assert_found(sentence: str, text: str) -> None:
    assert re.search(sentence, text), text
