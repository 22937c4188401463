"""vLLM as the engine: what is wrong is said in one sentence, before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("agentlightning")

from agentgym.testing import ScriptedModel
from tests.tiny_policy import make_tiny
from tests.vllm_double import VllmDouble

SCENARIO = """
from agentgym import scenario

@scenario(episodes=2)
def test_it(agent, case):
    assert agent.run("Hello")
"""
Serve = Callable[..., VllmDouble]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda *faults: stack.enter_context(VllmDouble(folder, *faults).serving())


def refusal(gym, *arguments: str) -> str:
    """The one line of a run that is refused."""
    gym.file(SCENARIO)
    run = gym.run(*arguments)
    assert run.ret == 4, run.stdout.str() + run.stderr.str()
    lines = [line for line in run.stderr.lines if line.startswith("ERROR: ")]
    assert len(lines) == 1, run.stderr.str()
    assert "Traceback" not in run.stderr.str() + run.stdout.str()
    return lines[0].removeprefix("ERROR: ")


def test_servers_that_cannot_be_trained_on(gym, serve, folder):
    double = serve()

    def said(spec: str = double.url, *more: str) -> str:
        return refusal(gym, "--train", f"--agentgym-policy={spec}", *more)

    assert said(f"{double.url}#qwen").endswith("serves 'base', not 'qwen'")
    assert said(double.url, "--agentgym-engine=own").startswith(
        "--agentgym-engine own: the model behind http://127.0.0.1:"
    )
    elsewhere = double.url.replace("127.0.0.1", "0.0.0.0")
    assert "training needs --agentgym-adapter-dir, a folder that" in said(elsewhere)
    double.faults = {"no updating"}
    assert "takes no adapters while it runs: start it with VLLM_ALLOW_RUNTIME" in said()
    double.faults, double.version = set(), "0.9.1"
    assert "is version 0.9.1, which returns no token ids: use 0.10.2 or newer" in said()
    double.version, double.root = "0.32.0", "/srv/models/qwen"
    sentence = said()
    assert "serves /srv/models/qwen, " in sentence
    assert "tokenizer (for training its weights, too) is needed here" in sentence
    with ScriptedModel(["Hello."]) as closed:
        spec = f"{closed.base_url}#gpt-9"
        sentence = said(spec)
    assert sentence.startswith(f"the model behind {spec} can be measured, not trained")
    assert sentence.endswith("a model folder, or the URL of a vLLM server")


def test_options_that_do_not_fit(gym, monkeypatch, folder):
    model = f"--agentgym-policy={folder}"
    assert refusal(gym, "--agentgym-engine=sglang") == (
        "--agentgym-engine sglang: choose auto, own or vllm"
    )
    assert refusal(gym, "--agentgym-adapter-dir=x").startswith(
        "--agentgym-adapter-dir belongs to a training: add --train"
    )
    assert refusal(gym, "--train", "--agentgym-adapter-dir=x", model).startswith(
        "--agentgym-adapter-dir belongs to a vLLM server that runs already: name it"
    )
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent.parent / "nothing"))
    wanted = "--agentgym-engine vllm needs vLLM, and there is no vllm on the PATH: "
    for mode in ("--train", "-q"):  # a measurement, too, plays nothing before
        assert refusal(gym, mode, "--agentgym-engine=vllm", model).startswith(wanted)
    monkeypatch.setenv("AGENTGYM_VLLM", "/no/such/vllm")
    assert refusal(gym, "--train", "--agentgym-engine=vllm", model).startswith(
        "AGENTGYM_VLLM=/no/such/vllm: there is no such program: give the path"
    )
