"""One GPU: sampling, updates and memory of random models of 0.5B and 1.5B shapes.

    python benchmarks/gpu.py [--minutes 8]

Needs nothing but this checkout with the extra `train`; `vllm`, if it is on the PATH or
named by AGENTGYM_VLLM, takes part. For each shape and engine a policy server plays
episodes of two model calls, over HTTP as agents do, with a new adapter in between; then
an updater takes a step on 128 rows of 1k tokens. What does not fit into the minutes is
left out, and said so. Without a GPU all of it runs with tiny shapes, to show that it
does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from model_cost import adapter_of, highest, make_batch

from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.engine.loading import load
from agentgym.policy.server.process import PolicyProcess
from agentgym.policy.vllm_engine.choice import VllmChoice, find_program, rank_for
from agentgym.training.job.config import TrainingConfig
from agentgym.training.step.update import Updater
from tests.tiny_policy import TOOLS, _tokenizer, conversation

QWEN: dict[str, Any] = {
    "vocab_size": 151_936,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8_192,
}
SHAPES: dict[str, dict[str, Any]] = {
    "0.5B": QWEN
    | {
        "hidden_size": 896,
        "intermediate_size": 4_864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
    },
    "1.5B": QWEN
    | {
        "hidden_size": 1_536,
        "intermediate_size": 8_960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
    },
}
TINY: dict[str, dict[str, Any]] = {
    name: QWEN
    | {
        "vocab_size": 2_000,
        "hidden_size": size,
        "intermediate_size": 2 * size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 2_048,
    }
    for name, size in (("tiny", 128), ("small", 256))
}
REPLY = 48
GPU = torch.cuda.is_available()


def make_model(folder: Path, shape: dict[str, Any]) -> Path:
    """Writes a random Qwen2.5 with a tokenizer whose every id is a token."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = data["model"]["vocab"]
    for number in range(len(tokenizer), shape["vocab_size"]):
        vocabulary[f"x{number}"] = number
    file.write_text(json.dumps(data))
    config = Qwen2Config(
        **shape,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    # On a GPU 1.5 billion random numbers take no time.
    with torch.device("cuda" if GPU else "cpu"):
        model = Qwen2ForCausalLM(config)
    model.bfloat16().save_pretrained(folder)
    return folder


def ask(at: PolicyEndpoint, body: dict[str, Any]) -> dict[str, Any]:
    """One model call."""
    request = urllib.request.Request(
        f"{at.base_url}/chat/completions",
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {at.api_key}",
        },
    )
    try:
        with urllib.request.urlopen(request) as answer:
            message: dict[str, Any] = json.load(answer)["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        raise SystemExit(json.load(error)["error"]["message"]) from None
    return message


def episode(at: PolicyEndpoint, model: str, number: int) -> None:
    """Two calls of one conversation."""
    messages = conversation(f"Order {number * 7919 % 10007} came late, refund it.")
    body = {
        "model": model,
        "messages": messages,
        "tools": TOOLS,
        "max_tokens": REPLY,
        "ignore_eos": True,
        "seed": number,
    }
    reply = ask(at, body)
    messages.append({"role": "assistant", "content": reply["content"] or ""})
    messages.append({"role": "user", "content": "Is that all that you can do?"})
    ask(at, body)


def sample(
    folder: Path, adapter: Path, engine: str, counts: list[int], log: Path
) -> dict[str, float]:
    """Episodes and tokens a second of a policy server that is full."""
    vllm = None
    if engine == "vllm":
        vllm = VllmChoice(program=find_program(), rank=rank_for(adapter), log=log)
    begun = time.perf_counter()
    found: dict[str, float] = {}
    with PolicyProcess.start(
        folder, name="base", vllm=vllm, log=log, adapters=adapter.parent
    ) as process:
        process.load_adapter("v1", adapter)
        found["start s"] = time.perf_counter() - begun
        at = process.endpoint
        for in_flight in counts:
            total = 2 * in_flight
            with ThreadPoolExecutor(in_flight) as pool:
                play = lambda n: episode(at, "v1", n)  # noqa: E731
                list(pool.map(play, range(10**6, 10**6 + min(in_flight, 4))))
                begun = time.perf_counter()
                list(pool.map(play, range(total)))
                seconds = time.perf_counter() - begun
            found[f"tokens/s at {in_flight}"] = 2 * REPLY * total / seconds
            found["episodes/h"] = 3_600 * total / seconds
        found["GB"] = used_gb(process._process.pid)
    return found


def used_gb(pid: int) -> float:
    """The GPU's memory in use by all processes; of a CPU, that of the server."""
    if GPU:
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 1e9
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def update(folder: Path, rows: int, length: int) -> dict[str, float]:
    """A step on rows of `length` tokens, in groups of 8 with a common first half."""
    updater = Updater(load(folder), TrainingConfig(epochs=1))
    batch = make_batch(rows, length)
    updater.update(batch[:8])
    begun = time.perf_counter()
    updater.update(batch)
    seconds = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated() / 1e9 if GPU else highest()
    return {"update s": seconds, "GB": peak, "rows": rows}


def one(options: argparse.Namespace) -> dict[str, float]:
    """Measures one thing in this process."""
    folder = Path(options.folder)
    if options.one == "update":
        return update(folder, *((128, 1_024) if GPU else (16, 128)))
    counts = [1, 8, 64, 256] if GPU else [1, 8]
    adapter = adapter_of(folder, folder.parent)
    return sample(folder, adapter, options.one, counts, folder.parent / "server.log")


def apart(what: str, folder: Path, seconds: float) -> dict[str, float] | str:
    """Measures in a process of its own; or says why there is no number."""
    if seconds < 20:
        return "no time left"
    command = [sys.executable, __file__, "--one", what, "--folder", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return "took too long"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options)))
        return
    end = time.monotonic() + 60 * options.minutes
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    device = torch.cuda.get_device_name() if GPU else "CPU, tiny shapes"
    print(f"{device}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, shape in (SHAPES if GPU else TINY).items():
            folder = make_model(Path(scratch, name), shape)
            found: dict[str, Any] = {}
            for what in ("update", "own", "vllm"):
                found[what] = apart(what, folder, end - time.monotonic())
                show(name, what, found[what])
            shares(name, found)
    if not GPU:
        print("no GPU here: the numbers of one are owed")


def show(name: str, what: str, found: dict[str, float] | str) -> None:
    """Prints a line of the table."""
    if isinstance(found, str):
        cells = found
    else:
        cells = "  ".join(f"{key} {value:,.1f}" for key, value in found.items())
    print(f"{name:6} {what:7} {cells}", flush=True)


def shares(name: str, found: dict[str, Any]) -> None:
    """Prints what of a batch's time is sampling, and what is the update."""
    update = found["update"]
    for engine in ("own", "vllm"):
        sampled = found[engine]
        if isinstance(update, str) or isinstance(sampled, str):
            continue
        # Two passes over a batch are the default.
        trained = 2 * update["update s"]
        played = update["rows"] / sampled["episodes/h"] * 3_600
        whole = trained + played
        print(
            f"{name:6} {engine:7} {update['rows']:.0f} episodes and an update "
            f"{whole:.1f} s: sampling {played / whole:.0%}, update "
            f"{trained / whole:.0%}; 10,000 episodes with their updates in "
            f"{whole / update['rows'] * 10_000 / 60:.1f} min",
            flush=True,
        )


if __name__ == "__main__":
    main()
