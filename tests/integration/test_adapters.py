"""LoRA adapters in a running policy server, and agents that are saved with one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch

from agentgym import TrainedAgent
from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import InfraError, UsageError
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server.process import PolicyProcess, healthy
from agentgym.policy.trained.agent_folder import save_agent
from tests.conftest import Gym
from tests.policy_agent import policy_agent
from tests.tiny_adapter import make_adapter, with_adapter, worst_difference
from tests.tiny_policy import TOOLS, conversation, make_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("base") / "tiny", "qwen3")


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("one", "two")):
        make_adapter(base, folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def server(
    base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PolicyProcess]:
    allowed = tmp_path_factory.getbasetemp()
    with PolicyProcess.start(base, adapters=allowed) as process:
        yield process


@pytest.fixture
def loaded(server: PolicyProcess, adapters: Path) -> Iterator[PolicyProcess]:
    for name in ("one", "two"):
        server.load_adapter(name, adapters / name)
    yield server
    for name in names(server.endpoint)[1:]:
        server.unload_adapter(name)


def call(endpoint: PolicyEndpoint, path: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    key = {"Authorization": f"Bearer {endpoint.api_key}"}
    request = urllib.request.Request(f"{endpoint.base_url}/{path}", data, key)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def names(endpoint: PolicyEndpoint) -> list[str]:
    return [card["id"] for card in json.loads(call(endpoint, "models")[1])["data"]]


def chat(endpoint: PolicyEndpoint, **fields: Any) -> dict[str, Any]:
    body = {
        "messages": conversation(),
        "tools": TOOLS,
        "max_tokens": 10,
        "ignore_eos": True,
        "logprobs": True,
        "return_token_ids": True,
        **fields,
    }
    status, text = call(endpoint, "chat/completions", body)
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def generation(answer: dict[str, Any]) -> Generation:
    choice = answer["choices"][0]
    return Generation(
        answer["prompt_token_ids"],
        SamplingParams(),
        token_ids=choice["token_ids"],
        logprobs=[entry["logprob"] for entry in choice["logprobs"]["content"]],
    )


def test_the_model_of_a_request_chooses_the_adapter(
    loaded: PolicyProcess, base: Path, adapters: Path
) -> None:
    for name in ("tiny", "one", "two", "one", "tiny"):
        answers = [chat(loaded.endpoint, model=name, seed=seed) for seed in range(3)]
        assert {answer["model"] for answer in answers} == {name}
        done = [generation(answer) for answer in answers]
        folder = None if name == "tiny" else adapters / name
        assert worst_difference(with_adapter(base, folder), done) < 1e-3
        if folder is not None:
            assert worst_difference(with_adapter(base, None), done) > 0.05
    body = {"messages": conversation(), "model": "two", "stream": True}
    status, text = call(loaded.endpoint, "chat/completions", body | {"max_tokens": 3})
    assert (status, '"model":"two"' in text) == (200, True)


def test_models_lists_the_base_and_its_adapters(
    loaded: PolicyProcess, adapters: Path
) -> None:
    cards = json.loads(call(loaded.endpoint, "models")[1])["data"]
    assert [(c["id"], c.get("parent"), Path(c["root"]).name) for c in cards] == [
        ("tiny", None, "tiny"),
        ("one", "tiny", "one"),
        ("two", "tiny", "two"),
    ]


def test_loading_and_unloading_speak_as_vllm_does(
    server: PolicyProcess, adapters: Path
) -> None:
    body = {"lora_name": "v1", "lora_path": str(adapters / "one"), "lora_int_id": 7}
    assert call(server.endpoint, "load_lora_adapter", body) == (
        200,
        "Success: LoRA adapter 'v1' added successfully.",
    )
    first = chat(server.endpoint, model="v1", seed=1)
    # The same name again: the next request gets the new weights.
    server.load_adapter("v1", adapters / "two")
    second = chat(server.endpoint, model="v1", seed=1)
    assert generation(first).logprobs != generation(second).logprobs
    assert call(server.endpoint, "unload_lora_adapter", {"lora_name": "v1"}) == (
        200,
        "Success: LoRA adapter 'v1' removed successfully.",
    )
    status, text = call(
        server.endpoint,
        "chat/completions",
        {"messages": conversation(), "model": "v1"},
    )
    assert status == 404
    assert (
        "'v1' does not exist here: use 'tiny'" in json.loads(text)["error"]["message"]
    )


def test_bad_adapters_get_the_server_s_sentence(
    server: PolicyProcess, base: Path, adapters: Path, tmp_path: Path
) -> None:
    load, unload = "load_lora_adapter", "unload_lora_adapter"
    dora = make_adapter(base, tmp_path / "dora", use_dora=True)
    for path, body, status, sentence in (
        (load, {}, 400, "lora_name: Field required"),
        (load, {"lora_name": "x"}, 400, "lora_path: Field required"),
        (load, {"lora_name": "x", "lora_path": f"{base}/no"}, 404, "does not exist"),
        (load, {"lora_name": "x", "lora_path": "/etc"}, 403, "loads adapters from"),
        (
            load,
            {"lora_name": "x", "lora_path": f"{adapters}/../../../.."},
            403,
            "loads adapters from",
        ),
        (load, {"lora_name": "x", "lora_path": str(base)}, 400, "is no LoRA adapter"),
        (load, {"lora_name": "x", "lora_path": str(dora)}, 400, "use_dora = True"),
        (
            load,
            {"lora_name": "tiny", "lora_path": str(adapters / "one")},
            400,
            "cannot be an adapter's name",
        ),
        (unload, {"lora_name": "x"}, 404, "the adapter 'x' is not loaded"),
    ):
        got, text = call(server.endpoint, path, body)
        assert (got, sentence in json.loads(text)["error"]["message"]) == (status, True)
    with pytest.raises(UsageError, match="'x' is not loaded"):
        server.unload_adapter("x")
    with pytest.raises(UsageError, match="use_dora = True, which agentgym does not"):
        server.load_adapter("x", dora)
    assert names(server.endpoint) == ["tiny"]


def test_the_sampling_temperature_wins(server: PolicyProcess) -> None:
    greedy = chat(server.endpoint, temperature=0)
    won = chat(server.endpoint, temperature=5, sampling_temperature=0, seed=3)
    other = chat(server.endpoint, temperature=0, sampling_temperature=5, seed=3)
    assert generation(won).token_ids == generation(greedy).token_ids
    assert generation(other).token_ids != generation(greedy).token_ids


def test_a_rollout_continues_its_own_conversation(server: PolicyProcess) -> None:
    first = chat(server.endpoint, rollout_id="a", tool_choice="required")
    reply = first["choices"][0]["message"]
    messages = [*conversation(), reply, {"role": "user", "content": "And now?"}]
    known = first["prompt_token_ids"] + first["choices"][0]["token_ids"]
    prompts = {
        rollout: chat(server.endpoint, messages=messages, rollout_id=rollout)[
            "prompt_token_ids"
        ]
        for rollout in ("a", "b")
    }
    assert prompts["a"][: len(known)] == known
    assert prompts["b"] != prompts["a"]


def test_a_server_with_an_adapter_from_the_start(base: Path, adapters: Path) -> None:
    with PolicyProcess.start(base, adapter=adapters / "one", name="mine") as process:
        assert process.endpoint.model == "mine"
        assert names(process.endpoint) == ["mine"]
        done = [generation(chat(process.endpoint, model="mine"))]
    assert worst_difference(with_adapter(base, adapters / "one"), done) < 1e-3
    with pytest.raises(InfraError, match="the policy server does not answer at http"):
        process.load_adapter("two", adapters / "two")


def test_a_start_with_an_adapter_of_another_model(
    adapters: Path, tmp_path: Path
) -> None:
    other = make_tiny(tmp_path / "wide", "qwen3", hidden=48)
    with pytest.raises(UsageError, match=r"is not for the model 'wide', whose .*\[48"):
        PolicyProcess.start(other, adapter=adapters / "one")
    with pytest.raises(UsageError, match="the adapter folder nowhere does not exist"):
        PolicyProcess.start(other, adapter=Path("nowhere"))


# Saved agents.

AGENT = policy_agent(
    'choice["token_ids"]', max_tokens=6, ignore_eos=True, return_token_ids=True
)

USE_IN_LANGCHAIN = """
import agentgym


def track_shipment(order_id: str) -> str:
    '''Show where a parcel is.'''
    return "at the door"


trained = agentgym.TrainedAgent.load("support")
agent = trained.to_langchain([track_shipment], instructions="You help.")
again = trained.to_langchain([track_shipment])
question = ("user", "Where is my order A4821?")
messages = agent.invoke({"messages": [question]})["messages"]
model = next(m.response_metadata["model_name"] for m in messages if m.type == "ai")
print(messages[0].type, model, trained.to_openai().base_url)
"""


def save(root: Path, name: str, adapter: Path, base: str) -> Path:
    card = {"base": {"spec": base}, "scenarios": [{"scenario": "test_it.py::test_it"}]}
    return save_agent(root, name, adapter, card)


def greedy(base: Path, adapter: Path | None, message: str, count: int) -> list[int]:
    """What peft's own model says."""
    policy = load(base)
    prompt = ChatTemplate(policy.dialect).prompt([{"role": "user", "content": message}])
    ids, model = list(prompt.ids), with_adapter(base, adapter)
    for _ in range(count):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
            logits[sorted(policy.forbidden_ids)] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids[-count:]


def test_a_saved_agent_is_measured_by_its_name(
    gym: Gym, base: Path, adapters: Path
) -> None:
    save(gym.pytester.path, "mine", adapters / "one", str(base))
    expected = greedy(base, adapters / "one", "hello", 6)
    assert expected != greedy(base, None, "hello", 6)
    gym.conftest(AGENT)
    gym.file(
        f"""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_it(agent, policy):
            run = agent.run("hello")
            assert policy.model == "mine_v1.0"
            assert run.reply == "{expected}"
        """
    )
    result = gym.start("--agentgym-policy", "mine_v1.0")
    assert gym.summary()["policy"] == "mine_v1.0"
    assert gym.summary()["episodes"]["passed"] == 3, result.stdout.str()
    broken = gym.pytester.path / ".agentgym/agents/mine/v1.0/adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    result = gym.start("--agentgym-policy", "mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*adapter_model.safetensors are corrupted: it has *"])


def test_a_saved_agent_is_served(base: Path, adapters: Path, tmp_path: Path) -> None:
    save(tmp_path, "mine", adapters / "two", str(base))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with TrainedAgent.load("mine", tmp_path).serve(port) as server:
        assert server.endpoint.base_url == f"http://127.0.0.1:{port}/v1"
        assert names(server.endpoint) == ["mine_v1.0"]
        done = [generation(chat(server.endpoint, seed=1))]
    assert worst_difference(with_adapter(base, adapters / "two"), done) < 1e-3
    assert not server.alive()


def test_a_saved_agent_works_in_langchain(tmp_path: Path) -> None:
    pytest.importorskip("langchain_openai")
    adapter = make_adapter(
        embedded_path(), tmp_path / "adapter", init_lora_weights=True
    )
    save(tmp_path, "support", adapter, "embedded")
    done = subprocess.run(
        [sys.executable, "-c", USE_IN_LANGCHAIN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, model, url = done.stdout.split()
    assert (first, model) == ("human", "support_v1.0")
    # The server has ended with the process.
    assert not healthy(PolicyEndpoint(base_url=url, api_key="", model=""))
