"""What comes out of a trained agent: merged models, vLLM's line, clients, agents."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentgym import TrainedAgent, UsageError
from agentgym.commands.main import main
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.trained.agent_folder import save_agent
from agentgym.policy.trained.clients import OpenAIEndpoint
from agentgym.policy.trained.resolve import Local, resolve
from tests.tiny_adapter import make_adapter, with_adapter
from tests.tiny_policy import TOOLS, conversation, make_tiny


def saved(root: Path, base: Path, **config: Any) -> TrainedAgent:
    adapter = make_adapter(base, root / "adapter", **config)
    spec = "embedded" if base == embedded_path() else str(base)
    card = {"base": {"spec": spec}, "scenarios": [{"scenario": "test_it.py::test_it"}]}
    return TrainedAgent.load(save_agent(root, "support", adapter, card))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainedAgent]:
    root = tmp_path_factory.mktemp("project")
    with saved(root, make_tiny(root / "tiny", "qwen3")) as agent:
        yield agent


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 305).view(6, 50)
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def worst(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


# Merging.


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("targets", ["all-linear", ["lm_head"]])
def test_a_merged_model_is_base_and_adapter(
    architecture: str, targets: Any, tmp_path: Path
) -> None:
    # The output layer is tied to the embedding, which its adapter must not change.
    base = make_tiny(tmp_path / "tiny", architecture)
    agent = saved(tmp_path, base, target_modules=targets)
    folder = agent.merge(tmp_path / "new" / "merged", dtype="float32")
    assert folder == tmp_path / "new" / "merged"
    assert [file.name for file in folder.parent.iterdir()] == ["merged"]
    expected = logits(with_adapter(base, agent.adapter))
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert worst(logits(model), expected) < 1e-4
    assert worst(logits(load(base).model), expected) > 1


def test_a_merged_model_is_a_plain_model(trained: TrainedAgent, tmp_path: Path) -> None:
    folder = trained.merge(tmp_path / "merged")
    assert sorted(file.name for file in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    check_folder(folder)
    assert resolve(str(folder)) == Local(folder)
    # By default as the base is stored: to the digits of a half.
    config = json.loads((folder / "config.json").read_text())
    assert (config["dtype"], config["tie_word_embeddings"]) == ("float16", True)
    expected = logits(with_adapter(trained.base, trained.adapter))
    assert 1e-4 < worst(logits(load(folder).model), expected) < 0.1
    theirs, ours = (AutoTokenizer.from_pretrained(f) for f in (trained.base, folder))
    for tokenizer in (theirs, ours):
        tokenizer.ids = tokenizer.apply_chat_template(conversation(), tools=TOOLS)
    assert theirs.ids == ours.ids


def test_halves_are_rounded_last(trained: TrainedAgent, tmp_path: Path) -> None:
    folder = trained.merge(tmp_path / "merged", dtype="bfloat16")
    exact = trained.merge(tmp_path / "exact", dtype="float32")
    model, precise = (AutoModelForCausalLM.from_pretrained(f) for f in (folder, exact))
    assert model.dtype == torch.bfloat16
    for weight, rounded in zip(precise.parameters(), model.parameters(), strict=True):
        assert torch.equal(weight.bfloat16(), rounded)


def test_what_cannot_be_merged(
    trained: TrainedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("keep")
    with pytest.raises(UsageError, match=r"full is not empty: give a new folder"):
        trained.merge(full)
    with pytest.raises(UsageError, match=r"mine is a file: give a new folder"):
        trained.merge(full / "mine")
    with pytest.raises(UsageError, match=r"below cannot be written: Not a directory"):
        trained.merge(full / "mine" / "below")
    with pytest.raises(UsageError, match="dtype 'int8' is unknown: use float32"):
        trained.merge(tmp_path / "new", dtype="int8")
    monkeypatch.setattr(Path, "rename", lambda *_: 1 / 0)
    with pytest.raises(UsageError, match="new cannot be written: division by zero"):
        trained.merge(tmp_path / "new")
    assert [file.name for file in tmp_path.iterdir()] == ["full"]
    assert [file.name for file in full.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(trained: TrainedAgent, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_folder(trained.merge(tmp_path / "empty"))
    assert [file.name for file in tmp_path.iterdir()] == ["empty"]


def test_merging_on_the_command_line(
    trained: TrainedAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, target = str(trained.adapter), str(tmp_path / "merged")
    assert main(["merge", name, target, "--dtype", "float32"]) == 0
    assert f"merged support_v1.0 into {target}\n" in capsys.readouterr().out
    assert main(["merge", name, target]) == 4
    error = f"agentgym: {target} is not empty: give a new folder\n"
    assert capsys.readouterr().err == error
    assert main(["merge", "nobody", target]) == 4
    assert "there is no trained agent 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["merge", name])
    assert ended.value.code == 4


# vLLM.


def test_the_line_for_vllm(tmp_path: Path) -> None:
    root = tmp_path / "my project"
    agent = saved(root, make_tiny(root / "tiny"), r=9)
    line = agent.vllm_command(port=9000)
    assert shlex.split(line) == [
        *("vllm", "serve", str(root / "tiny"), "--served-model-name", "tiny"),
        *("--enable-lora", "--max-lora-rank", "16"),
        *("--lora-modules", f"support_v1.0={agent.adapter}"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        *("--dtype", "float16"),
        *("--port", "9000"),
        *("--chat-template", str(root / "tiny" / "chat_template.jinja")),
    ]
    assert "'" in line
    # vLLM itself chooses among named templates.
    (root / "tiny" / "additional_chat_templates").mkdir()
    assert "--chat-template" not in agent.vllm_command()


@pytest.mark.parametrize(
    ("rank", "room"), [(1, "8"), (8, "8"), (64, "64"), (257, "320"), (512, "512")]
)
def test_ranks_that_vllm_takes(rank: int, room: str, tmp_path: Path) -> None:
    agent = saved(tmp_path, make_tiny(tmp_path / "tiny"), r=rank)
    words = agent.vllm_command().split()
    assert words[words.index("--max-lora-rank") + 1] == room


def test_a_rank_that_vllm_does_not_take(tmp_path: Path) -> None:
    agent = saved(tmp_path, make_tiny(tmp_path / "tiny"), r=513)
    with pytest.raises(UsageError, match=r"rank 512, and support_v1\.0 has 513: merge"):
        agent.vllm_command()


def test_a_path_that_vllm_would_misread(tmp_path: Path) -> None:
    root = tmp_path / "a=b,c"
    agent = saved(root, make_tiny(root / "tiny"))
    words = shlex.split(agent.vllm_command())
    module = json.loads(words[words.index("--lora-modules") + 1])
    assert module == {"name": "support_v1.0", "path": str(agent.adapter)}


# In this process.


def ask(at: OpenAIEndpoint, **fields: Any) -> Any:
    asked = {"model": at.model, "messages": conversation(), "max_tokens": 5}
    asked["extra_body"] = {"ignore_eos": True}
    return asked | fields


@pytest.fixture
def at(trained: TrainedAgent) -> OpenAIEndpoint:
    pytest.importorskip("openai")
    return trained.to_openai(in_process=True)


def test_clients_in_this_process(trained: TrainedAgent, at: OpenAIEndpoint) -> None:
    assert at.model == "support_v1.0"
    assert at.client is at.client
    [card] = at.client.models.list().data
    assert card.id == "support_v1.0"
    create, greedy = at.client.chat.completions.create, ask(at, temperature=0)
    text = create(**greedy).choices[0].message.content
    chunks = list(create(**greedy, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == text
    found: list[str] = []

    async def together() -> None:
        calls = (at.async_client.chat.completions.create(**greedy) for _ in range(4))
        answers = await asyncio.gather(*calls)
        found.extend(answer.choices[0].message.content or "" for answer in answers)

    asyncio.run(together())
    assert found == [text] * 4
    # One engine, whoever asks.
    with TrainedAgent.load(trained.adapter) as again:
        assert again.to_openai(in_process=True)._transport is at._transport


def test_errors_come_through(at: OpenAIEndpoint) -> None:
    import openai

    with pytest.raises(openai.NotFoundError, match="'other' does not exist here: use"):
        at.client.chat.completions.create(**ask(at, model="other"))


def test_a_time_out(at: OpenAIEndpoint) -> None:
    import openai

    hurried = at.client.with_options(timeout=0.01, max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        hurried.chat.completions.create(**ask(at, max_tokens=1500))


def test_a_cancelled_call_is_no_longer_sampled(at: OpenAIEndpoint) -> None:
    async def cancelled() -> None:
        call = at.async_client.chat.completions.create(**ask(at, max_tokens=1500))
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    # Would wait for the other one otherwise, at one request a time.
    assert at.client.chat.completions.create(**ask(at)).usage


def test_closing_ends_what_runs_and_a_later_call_starts_anew(
    trained: TrainedAgent,
) -> None:
    openai = pytest.importorskip("openai")
    with TrainedAgent.load(trained.adapter) as agent:
        at = agent.to_openai(in_process=True)
        client = at.client.with_options(max_retries=0)
        trained.close()
        assert client.models.list().data
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                client.chat.completions.create(**ask(at, max_tokens=1900))
            except openai.APIError as error:
                errors.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        threading.Event().wait(0.2)
    waiting.join(30)
    assert not waiting.is_alive()
    assert len(errors) == 1
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
    with pytest.raises(openai.APIConnectionError):
        asyncio.run(
            at.async_client.with_options(max_retries=0).models.list()._get_page()
        )
    assert trained.to_openai(in_process=True).client.models.list().data


def test_nothing_is_imported_before_it_is_needed(trained: TrainedAgent) -> None:
    code = (
        "import sys, agentgym; from pathlib import Path\n"
        f"agent = agentgym.TrainedAgent.load({str(trained.adapter)!r})\n"
        "agent.close()\n"
        "heavy = ('torch', 'httpx', 'openai', 'langchain', 'crewai')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# What is missing.


@pytest.mark.parametrize(
    ("package", "use", "sentence"),
    [
        (
            "langchain_openai",
            lambda agent: agent.to_langchain([]),
            r"to_langchain\(\) needs LangChain: pip install '[\w-]+\[langchain\]'",
        ),
        (
            "crewai",
            lambda agent: agent.to_crewai(role="r", goal="g"),
            r"to_crewai\(\) needs CrewAI: pip install '[\w-]+\[crewai\]'",
        ),
        (
            "autogen_ext",
            lambda agent: agent.to_autogen(name="a"),
            r"to_autogen\(\) needs AutoGen: pip install '[\w-]+\[autogen\]'",
        ),
        (
            "openai",
            lambda agent: agent.to_openai(),
            r"to_openai\(\) needs OpenAI's client: pip install openai",
        ),
        (
            "torch",
            lambda agent: agent.merge("new"),
            r"a local policy needs torch: run pip install '[\w-]+\[policy\]'",
        ),
    ],
)
def test_what_is_not_installed_is_named(
    trained: TrainedAgent,
    package: str,
    use: Any,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        use(trained)


# Mistakes, which are said before a model is loaded.


def untyped(order):  # type: ignore[no-untyped-def]
    return order


def look(order: str) -> str:
    """Shows an order."""
    return order


@pytest.mark.parametrize(
    ("framework", "method", "settings"),
    [
        ("langchain", "to_langchain", {}),
        ("crewai", "to_crewai", {"role": "support", "goal": "help"}),
        ("autogen_ext", "to_autogen", {"name": "support"}),
    ],
)
@pytest.mark.parametrize(
    ("tools", "sentence"),
    [
        (look, r"tools=.*: give a list of tools"),
        ([untyped], "the tool untyped has no schema: give it type hints and a"),
        ([3], "the tool 3 has no schema: give it type hints and a docstring"),
        ([look, look], "two tools are called 'look': give one another name"),
    ],
)
def test_wrong_tools(
    trained: TrainedAgent,
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
    method: str,
    settings: dict[str, Any],
    tools: Any,
    sentence: str,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CrewAI's, at its import
        pytest.importorskip(framework)
    monkeypatch.setattr(TrainedAgent, "_endpoint", lambda self: pytest.fail("loaded"))
    with pytest.raises(UsageError, match=sentence):
        getattr(trained, method)(tools=tools, **settings)


def test_a_name_that_autogen_refuses(trained: TrainedAgent) -> None:
    pytest.importorskip("autogen_ext")
    with pytest.raises(UsageError, match=r"name='my help desk'.*such as 'help_desk'"):
        trained.to_autogen(name="my help desk", tools=[])


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port(trained: TrainedAgent, port: int) -> None:
    for call in (trained.serve, trained.vllm_command):
        with pytest.raises(UsageError, match=rf"port {port}: give a number from 0 to"):
            call(port)
