"""Generated tokens per CPU second: the policy server against transformers.

    python benchmarks/policy_server.py [MODEL_FOLDER]

Requests share a system prompt with tools and differ in the user's message, as episodes
do. The server is measured from outside, in its own process, HTTP, JSON and chat
template included; `generate` and `generate_batch` get ready token ids. Everything
samples at temperature 1, the same number of tokens, on one torch thread.
Without a folder, a random Llama of 3.5 million parameters is made.
"""

import argparse
import json
import os
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig

from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine.loading import LoadedPolicy, load
from agentgym.policy.server.process import PolicyProcess
from tests.tiny_policy import TOOLS, conversation, make_tiny


def messages(index: int) -> list[dict[str, Any]]:
    """One of many short requests with the same system prompt."""
    return conversation(f"Order {index * 7919 % 10007} came late, refund it please.")


def tools(count: int) -> list[dict[str, Any]]:
    """As many tools as a support desk has."""
    return [
        {
            "type": "function",
            "function": {
                **TOOLS[i % 3]["function"],  # type: ignore[dict-item]
                "name": f"{TOOLS[i % 3]['function']['name']}_{i}",  # type: ignore[index]
            },
        }
        for i in range(count)
    ]


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(
    at: PolicyEndpoint, index: int, given: list[dict[str, Any]], length: int
) -> int:
    """Sends one request; returns the tokens of the reply."""
    body = {
        "messages": messages(index),
        "tools": given,
        "max_tokens": length,
        "ignore_eos": True,
        "seed": index,
    }
    request = urllib.request.Request(
        f"{at.base_url}/chat/completions",
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {at.api_key}",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["usage"]["completion_tokens"])


def run_server(
    folder: Path, counts: list[int], requests: int, length: int, many: int
) -> dict[int, tuple[float, float]]:
    """Tokens per CPU second and per second of the server."""
    given = tools(many)
    process = PolicyProcess.start(folder)
    pid = process._process.pid
    at = process.endpoint
    result = {}
    try:
        for n in counts:
            total = requests if n > 1 else min(requests, 16)
            with ThreadPoolExecutor(n) as pool:
                list(pool.map(lambda i: ask(at, 10**6 + i, given, 8), range(n)))
                cpu, wall = cpu_of(pid), time.perf_counter()
                tokens = sum(
                    pool.map(lambda i: ask(at, i, given, length), range(total))
                )
                wall, cpu = time.perf_counter() - wall, cpu_of(pid) - cpu
            result[n] = (tokens / cpu, tokens / wall)
    finally:
        process.stop()
    return result


def run_generate(
    policy: LoadedPolicy, prompts: list[list[int]], n: int, length: int
) -> tuple[float, float]:
    """The same of `model.generate` in batches of n."""
    tokenizer = policy.tokenizer
    tokenizer.padding_side = "left"
    cpu, wall, tokens = time.process_time(), time.perf_counter(), 0
    for start in range(0, len(prompts), n):
        batch = tokenizer.pad(
            {"input_ids": prompts[start : start + n]}, return_tensors="pt"
        )
        out = policy.model.generate(
            **batch,
            do_sample=True,
            top_k=0,
            min_new_tokens=length,
            max_new_tokens=length,
            pad_token_id=tokenizer.pad_token_id,
        )
        tokens += (out.shape[1] - batch["input_ids"].shape[1]) * out.shape[0]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return tokens / cpu, tokens / wall


def run_continuous(
    policy: LoadedPolicy, prompts: list[list[int]], length: int
) -> tuple[float, float]:
    """The same of transformers' own continuous batching, all prompts at once."""
    config = GenerationConfig(
        do_sample=True, max_new_tokens=length, eos_token_id=-1, pad_token_id=0
    )
    cpu, wall = time.process_time(), time.perf_counter()
    outputs = policy.model.generate_batch(
        inputs=prompts, generation_config=config, progress_bar=False
    )
    tokens = sum(len(output.generated_tokens) for output in outputs.values())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return tokens / cpu, tokens / wall


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--tools", type=int, default=9)
    parser.add_argument("--concurrent", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--no-continuous", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or make_tiny(
            Path(scratch, "random"), hidden=256, layers=6, context=4096
        )
        ours = run_server(
            folder, options.concurrent, options.requests, options.tokens, options.tools
        )
        policy = load(folder)
        template = ChatTemplate(policy.dialect)
        size = sum(p.numel() for p in policy.model.parameters())
        prompts = [
            template.prompt(messages(i), tools(options.tools)).ids
            for i in range(options.requests)
        ]
        print(
            f"{size / 1e6:.1f}M parameters, {len(prompts[0])} prompt tokens, "
            f"{options.tokens} sampled; tokens per CPU second (per second)"
        )
        print("in flight   policy server    generate         generate_batch")
        for n in options.concurrent:
            cells = [ours[n]]
            few = prompts[: max(n, min(len(prompts), 2 * n))]
            cells.append(run_generate(policy, few, n, options.tokens))
            if not options.no_continuous:
                policy.model.set_attn_implementation("sdpa")
                cells.append(run_continuous(policy, prompts[:n], options.tokens))
            row = "".join(f"{a:7.0f} ({b:5.0f})  " for a, b in cells)
            print(f"{n:9}   {row} {cells[0][0] / cells[1][0]:.1f} x generate")


if __name__ == "__main__":
    main()
