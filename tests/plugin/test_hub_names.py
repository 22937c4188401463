"""Models by their names at the Hugging Face hub: a hub on this machine has them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("transformers")

from agentgym.exit_code import ExitCode
from tests.hub_server import Hub, Repository, running_hub
from tests.policy_agent import policy_agent
from tests.tiny_policy import make_tiny

if TYPE_CHECKING:
    from tests.conftest import Gym

SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_{name}(agent):
        assert agent.run("hi").reply
"""
OTHERS = {
    "pytorch_model.bin": b"the same",
    "consolidated.safetensors": b"the same",
    "model.fp16.safetensors": b"the same",
    "original/model.safetensors": b"the same",
    "README.md": b"about",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the model acme/tiny, for the processes that a test starts."""
    with running_hub() as hub:
        hub.models["acme/tiny"] = Repository.of(tiny)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


@pytest.fixture
def asking(gym: Gym) -> Gym:
    """A project whose agent asks the policy for a few tokens."""
    gym.conftest(policy_agent("choice", max_tokens=4))
    gym.file(SCENARIO.format(name="one"), "test_one.py")
    gym.file(SCENARIO.format(name="two"), "test_two.py")
    return gym


@pytest.mark.slow
def test_a_model_is_downloaded_once_and_then_cached(asking, hub, monkeypatch):
    model = hub.models["acme/tiny"]
    wanted = set(model.files)
    model.files |= OTHERS
    result = asking.start("-n2", "--agentgym-policy=acme/tiny", plugins=("xdist",))
    result.stdout.fnmatch_lines(
        [f"agentgym: the policy is acme/tiny, revision {model.commit[:12]}"]
    )
    assert result.ret == ExitCode.OK
    assert sorted(hub.sent) == sorted(f"acme/tiny/{name}" for name in wanted)
    assert hub.tokens == {"Bearer hf_secret"}
    # What a run shows and stores has the hub's name, and nowhere the cache's path.
    assert {e["policy"] for e in asking.episodes()} == {"acme/tiny"}
    assert "snapshots" not in result.stdout.str() + json.dumps(asking.summary())

    hub.sent.clear()
    assert asking.start("--agentgym-policy=acme/tiny").ret == ExitCode.OK
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert asking.start(f"--agentgym-policy=acme/tiny@{model.commit}").ret == 0
    hub.models.clear()
    assert asking.start("--agentgym-policy=acme/tiny").ret == ExitCode.OK
    assert hub.sent == []


def test_a_folder_of_that_name_comes_first(asking, hub, tiny):
    (asking.pytester.path / "acme").mkdir()
    (asking.pytester.path / "acme/tiny").symlink_to(tiny)
    assert asking.start("--agentgym-policy=acme/tiny").ret == ExitCode.OK
    assert hub.tokens == set()


def test_nothing_is_asked_where_nothing_is_played(asking, hub):
    asking.start("--agentgym-policy=acme/tiny", "--collect-only")
    assert hub.tokens == set()


REFUSED: dict[str, tuple[Any, str]] = {
    "acme/none": (
        None,
        "acme/none is neither a folder here nor a model of the Hugging Face hub that "
        "you may read: check the name; for a private one, log in (hf auth login), or "
        "set HF_TOKEN",
    ),
    "acme/tiny@v2": (None, "acme/tiny has no revision 'v2' at the Hugging Face hub"),
    "acme/gated": (
        Repository({}, (403, "GatedRepo")),
        "acme/gated is gated at the Hugging Face hub: accept its conditions",
    ),
    "acme/secret": (
        Repository({}, (401, "GatedRepo")),
        "acme/secret is gated at the Hugging Face hub: accept its conditions",
    ),
    "acme/down": (
        Repository({}, (503, "")),
        "does not answer as the hub does (HfHubHTTPError: Server error '503",
    ),
    "acme/tiny-GGUF": (
        Repository({"tiny.Q4.gguf": b"GGUF", "README.md": b""}),
        "acme/tiny-GGUF has only GGUF files, and a policy is loaded from safetensors: "
        "name the model that it was made from, or convert it",
    ),
    "acme/pickled": (
        Repository({"config.json": b"{}", "pytorch_model.bin": b""}),
        "acme/pickled has no safetensors, only pickled weights",
    ),
    "acme/lora": (
        Repository({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}),
        "acme/lora is a LoRA adapter: name a whole model",
    ),
    "acme/images": (
        Repository({"model_index.json": b"{}", "unet/a.safetensors": b""}),
        "acme/images is no model that transformers loads: no config.json",
    ),
    "acme/a--b": (None, "nor a name that a hub's model can have"),
}


def test_models_that_cannot_be_had(hub):
    for name, (repository, _) in REFUSED.items():
        if repository is not None:
            hub.models[name] = repository
    answers = subprocess.run(
        [sys.executable, "-c", FIND, *REFUSED], capture_output=True, text=True
    )
    assert answers.stderr == ""
    said = dict(zip(REFUSED, answers.stdout.splitlines(), strict=True))
    missing = {n: said[n] for n, (_, text) in REFUSED.items() if text not in said[n]}
    assert missing == {}


FIND = """
import sys
from agentgym import UsageError
from agentgym.policy.folders.hub_download import find_hub_model

for name in sys.argv[1:]:
    try:
        print(find_hub_model(name))
    except UsageError as error:
        print(error)
"""


def test_a_model_that_the_hub_does_not_have(asking, hub):
    result = asking.start("--agentgym-policy=acme/none")
    assert_refused(result, REFUSED["acme/none"][1])


def test_a_model_without_a_chat_template(asking, hub):
    empty = (2).to_bytes(8, "little") + b"{}"
    files = {"config.json": b'{"model_type": "llama"}', "model.safetensors": empty}
    hub.models["acme/mute"] = Repository(files)
    result = asking.start("--agentgym-policy=acme/mute")
    assert_refused(result, "the model in acme/mute has no chat template")


@pytest.mark.parametrize("train", [(), ("--train",)])
def test_offline_and_not_cached(asking, hub, monkeypatch, train):
    if train:
        pytest.importorskip("agentlightning")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = asking.start("--agentgym-policy=acme/tiny", *train)
    assert_refused(result, "acme/tiny is neither a folder here nor in the Hugging Face")
    assert_refused(result, "and HF_HUB_OFFLINE is set: download it once without that")
    assert hub.tokens == set()


def test_no_network(asking, hub, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    result = asking.start("--agentgym-policy=acme/tiny")
    assert_refused(result, f"http://127.0.0.1:{port} does not answer as the hub does")
    assert_refused(result, "check the network, or give a folder")


def test_a_download_that_was_cut_off(asking, hub, tmp_path, monkeypatch):
    assert asking.start("--agentgym-policy=acme/tiny").ret == ExitCode.OK
    next((tmp_path / "hf").rglob("snapshots/*/model.safetensors")).unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = asking.start("--agentgym-policy=acme/tiny")
    assert_refused(result, "acme/tiny is only in part in the Hugging Face hub's cache")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    commit = hub.models["acme/tiny"].commit
    assert asking.start(f"--agentgym-policy=acme/tiny@{commit}").ret == ExitCode.OK


@pytest.mark.parametrize("within", ["model", "model/tiny.Q4.gguf"])
@pytest.mark.parametrize("train", [(), ("--train",)])
def test_gguf_on_this_machine(asking, within, train):
    if train:
        pytest.importorskip("agentlightning")
    folder = asking.pytester.path / "model"
    folder.mkdir()
    (folder / "tiny.Q4.gguf").write_bytes(b"GGUF")
    result = asking.run(f"--agentgym-policy={within}", *train)
    assert_refused(result, "and a policy is loaded from safetensors")
    assert_refused(result, f'"{folder}", gguf_file="tiny.Q4.gguf"')


@pytest.mark.slow
def test_a_trained_agent_keeps_its_revision(gym, hub, monkeypatch):
    pytest.importorskip("agentlightning")
    gym.conftest(policy_agent("choice['message']", max_tokens=4, temperature=1))
    gym.file("""
        from agentgym import scenario

        @scenario(
            episodes=4, split="auto", trainable_components={"output_generation": True}
        )
        def test_even(agent):
            reply = agent.run("hi").reply
            assert len(reply) % 2 == 0
            # Never met, so that no lucky measurement ends it before an update.
            assert reply == "what this model never says"
    """)
    (gym.pytester.path / "settings.json").write_text('{"groups": 4, "group_size": 8}')
    arguments = ["--train", "--agentgym-updates=1", "--agentgym-target=1"]
    arguments += ["--agentgym-train-config=settings.json", "--agentgym-save=even"]
    result = gym.start(*arguments, "--agentgym-policy=acme/tiny")
    assert result.ret in (ExitCode.OK, ExitCode.BELOW)
    model = hub.models["acme/tiny"]
    first = model.commit
    base = json.loads((gym.runs[-1] / "training.json").read_text())["base"]
    assert base == f"acme/tiny@{first}"
    assert gym.summary()["training"]["policy"] == "acme/tiny"
    agent = gym.pytester.path / ".agentgym/agents/even/v1.0"
    card = json.loads((agent / "agent.json").read_text())["base"]
    assert (card["spec"], card["revision"]) == ("acme/tiny", first)
    adapter = json.loads((agent / "adapter_config.json").read_text())
    named = adapter["base_model_name_or_path"], adapter["revision"]
    assert named == ("acme/tiny", first)

    # The main branch moves on: the agent stays on what it was trained on.
    model.files["config.json"] += b"\n"
    assert model.commit != first
    hub.sent.clear()
    result = gym.start("--agentgym-policy=even_v1.0")
    result.stdout.fnmatch_lines(["*reliability*"])
    assert result.ret in (ExitCode.OK, ExitCode.BELOW)
    assert hub.sent == []
    shown = gym.pytester.runpython_c(SHOW)
    shown.stdout.fnmatch_lines(
        [
            f"base model  acme/tiny (revision {first[:12]}, sha256 *)",
            "*--served-model-name acme/tiny *",
        ]
    )


SHOW = """
from agentgym import TrainedAgent
trained = TrainedAgent.load("even")
print(trained.card())
print(trained.vllm_command())
"""


def assert_refused(result: pytest.RunResult, sentence: str) -> None:
    said = result.stdout.str() + result.stderr.str()
    assert " ".join(sentence.split()) in " ".join(said.split())
    assert "Traceback" not in said
    assert result.ret == ExitCode.USAGE
