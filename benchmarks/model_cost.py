"""Speed and memory of models of real shapes on a CPU: sampling, prompts, updates.

    python benchmarks/model_cost.py [--before CHECKOUT] [--only sample memory update]

Models are random, with the sizes of SmolLM2-135M and Qwen3-0.6B; `embedded` is the
shipped policy. Each number comes from a process of its own, whose highest resident set
is read at its end. With the checkout of another commit, the two take turns.

- sample: tokens a second of the engine at 1, 8 and 32 in flight, and of
  `transformers.generate`; where AGENTGYM_VLLM names a vLLM, of that, too, started once
  for 1, 8 and the most in flight.
- memory: highest and last resident set of a sampler that answers 32 short requests with
  an adapter, then one long prompt, then a short one, over what the loaded model takes.
- update: seconds and highest resident set of one update on rows of 1k tokens, in groups
  of 8 whose first half is the same.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "135m": {
        "kind": "LlamaConfig",
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1_536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
    },
    "0.6b": {
        "kind": "Qwen3Config",
        "vocab_size": 151_936,
        "hidden_size": 1_024,
        "intermediate_size": 3_072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}
PROMPT, REPLY = 64, 24
SEED = 7


def folder_of(shape: str, scratch: Path) -> Path:
    """The model's folder; made where it is not there yet."""
    if shape == "embedded":
        from agentgym.policy.folders.embedded import embedded_path

        return embedded_path()
    folder = scratch / shape
    if not (folder / "config.json").exists():
        import torch
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

        from tests.tiny_policy import _tokenizer

        sizes = dict(SHAPES[shape])
        config = getattr(transformers, sizes.pop("kind"))(
            **sizes,
            max_position_embeddings=16_384,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=2,
            pad_token_id=0,
        )
        torch.manual_seed(0)
        kinds: Any = MODEL_FOR_CAUSAL_LM_MAPPING
        model = kinds[type(config)](config)
        model.bfloat16().save_pretrained(folder)
        _tokenizer().save_pretrained(folder)
    return folder


def adapter_of(folder: Path, scratch: Path) -> Path:
    """An adapter's folder; made where it is not there yet."""
    adapter = scratch / f"{folder.name}-adapter"
    if not adapter.exists():
        from tests.tiny_adapter import make_adapter

        make_adapter(folder, adapter, 1, r=16)
    return adapter


def prompts(count: int, length: int, width: int, seed: int = SEED) -> list[list[int]]:
    """Random tokens; nothing is shared."""
    import random

    generator = random.Random(seed)
    return [
        [generator.randrange(5, width) for _ in range(length)] for _ in range(count)
    ]


def resident() -> float:
    """Gigabytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def highest() -> float:
    """The most that it has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


# What is measured, each in a process of its own.


def sample(folder: Path, in_flight: int, adapter: Path | None) -> dict[str, float]:
    """Tokens a second of the engine."""
    from agentgym.policy.engine.engine import Engine
    from agentgym.policy.engine.generation import SamplingParams
    from agentgym.policy.engine.loading import load

    engine = Engine(load(folder, "cpu"), adapter=adapter)
    params = SamplingParams(max_tokens=REPLY, seed=1, ignore_eos=True)
    engine.generate_all(prompts(1, 8, 300), params)
    rounds = []
    cpu = []
    for turn in range(3 if folder.name.startswith("embedded") else 2):
        asked = prompts(in_flight, PROMPT, 300, turn)
        begun, used = time.perf_counter(), time.process_time()
        done = engine.generate_all(asked, params)
        tokens = sum(len(generation.token_ids) for generation in done)
        rounds.append(tokens / (time.perf_counter() - begun))
        cpu.append(tokens / (time.process_time() - used))
    engine.close()
    return {"tokens/s": max(rounds), "per CPU s": max(cpu), "GB": highest()}


def generate(folder: Path, in_flight: int) -> dict[str, float]:
    """The same of transformers."""
    import torch

    from agentgym.policy.engine.loading import load

    policy = load(folder, "cpu")
    if sum(p.numel() for p in policy.model.parameters()) < 30_000_000:
        torch.set_num_threads(1)
    rounds, cpu = [], []
    for turn in range(2):
        ids = torch.tensor(prompts(in_flight, PROMPT, 300, turn))
        begun, used = time.perf_counter(), time.process_time()
        model: Any = policy.model
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            min_new_tokens=REPLY,
            max_new_tokens=REPLY,
            pad_token_id=0,
        )
        rounds.append(in_flight * REPLY / (time.perf_counter() - begun))
        cpu.append(in_flight * REPLY / (time.process_time() - used))
    return {"tokens/s": max(rounds), "per CPU s": max(cpu), "GB": highest()}


def vllm(folder: Path, most: int) -> dict[str, float]:
    """The same of vLLM, with one start for all numbers in flight."""
    from concurrent.futures import Future

    from agentgym.policy.engine.generation import Generation, SamplingParams
    from agentgym.policy.engine.token_model import read_token_model
    from agentgym.policy.vllm_engine.choice import find_program
    from agentgym.policy.vllm_engine.vllm_engine import VllmEngine
    from agentgym.policy.vllm_engine.vllm_process import VllmProcess

    log = Path(tempfile.mkdtemp(), "vllm.log")
    begun = time.perf_counter()
    process = VllmProcess.start(find_program(), folder, rank=16, log=log)
    found = {"start s": time.perf_counter() - begun}
    engine = VllmEngine(read_token_model(folder), process.endpoint, process=process)
    params = SamplingParams(max_tokens=REPLY, seed=1, ignore_eos=True)

    def tokens(asked: list[list[int]]) -> int:
        futures: list[Future[Generation]] = [Future() for _ in asked]
        for prompt, future in zip(asked, futures, strict=True):
            engine.submit(Generation(prompt, params, on_done=future.set_result))
        return sum(len(future.result().token_ids) for future in futures)

    tokens(prompts(1, 8, 300))
    for in_flight in sorted({1, 8, most}):
        rounds = []
        for turn in range(3):
            asked = prompts(in_flight, PROMPT, 300, turn)
            begun = time.perf_counter()
            rounds.append(tokens(asked) / (time.perf_counter() - begun))
        found[f"tokens/s at {in_flight}"] = max(rounds)
    engine.close()
    return found


def memory(folder: Path, length: int, adapter: Path) -> dict[str, float]:
    """What a sampler takes over its model when a long prompt comes."""
    from agentgym.policy.engine.engine import Engine
    from agentgym.policy.engine.generation import SamplingParams
    from agentgym.policy.engine.loading import load

    policy = load(folder, "cpu")
    weights = resident()
    engine = Engine(policy, adapter=adapter)
    few = SamplingParams(max_tokens=4, seed=1, ignore_eos=True)
    engine.generate_all(prompts(32, PROMPT, 300), few)
    short = resident()
    begun = time.perf_counter()
    engine.generate_all(prompts(1, length, 300, 3), few)
    seconds = time.perf_counter() - begun
    engine.generate_all(prompts(1, PROMPT, 300, 4), few)
    left = resident()
    engine.close()
    return {
        "loaded GB": weights,
        "short GB": short,
        "peak GB": highest(),
        "after GB": left,
        "long prompt s": seconds,
    }


def make_batch(rows: int, length: int) -> list[Any]:
    """Rows in groups of 8 with a common first half; the last quarter is sampled."""
    from agentgym.training.batch.batch import BatchRow
    from agentgym.training.batch.rows import TrainingRow

    batch = []
    for number, own in enumerate(prompts(rows, length // 2, 300)):
        head = prompts(1, length // 2, 300, 100 + number // 8)[0]
        sampled = list(range(3 * length // 4, length))
        row = TrainingRow(
            ids=head + own,
            sampled=sampled,
            logprobs=[-5.0] * len(sampled),
            calls=[0] * len(sampled),
            components=["tool_selection"] * len(sampled),
        )
        batch.append(
            BatchRow(
                row,
                weights=[1 / len(sampled)] * len(sampled),
                advantages=[1.0 if number % 2 else -1.0] * len(sampled),
                frozen=[0.0] * len(sampled),
                # Not of this version: what was recorded is made up.
                fresh=[0.0] * len(sampled),
            )
        )
    return batch


def update(folder: Path, rows: int) -> dict[str, float]:
    """One update on rows of 1k tokens."""
    from agentgym.policy.engine.loading import load
    from agentgym.training.job.config import TrainingConfig
    from agentgym.training.step.update import Updater

    policy = load(folder, "cpu")
    weights = resident()
    updater = Updater(policy, TrainingConfig(epochs=1))
    batch = make_batch(rows, 1_024)
    begun, cpu = time.perf_counter(), time.process_time()
    updater.update(batch)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "seconds": seconds,
        "CPU s": cpu,
        "loaded GB": weights,
        "peak GB": highest(),
    }


def one(kind: str, shape: str, number: int, scratch: Path) -> dict[str, float]:
    """Measures in this process."""
    folder = folder_of(shape, scratch)
    if kind == "sample":
        return sample(folder, number, None)
    if kind == "adapted":
        return sample(folder, number, adapter_of(folder, scratch))
    if kind == "generate":
        return generate(folder, number)
    if kind == "vllm":
        return vllm(folder, number)
    if kind == "memory":
        return memory(folder, number, adapter_of(folder, scratch))
    return update(folder, number)


def apart(root: Path, scratch: Path, *what: str | int) -> dict[str, float]:
    """Measures in a process of its own, with the code of a checkout."""
    command = [sys.executable, __file__, "--scratch", str(scratch), "--one"]
    done = subprocess.run(
        [*command, *map(str, what)],
        env=os.environ | {"PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"failed": done.returncode}
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measures and prints one line for each number."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout to compare with")
    parser.add_argument("--only", nargs="+", default=["sample", "memory", "update"])
    parser.add_argument("--shapes", nargs="+", default=["embedded", *SHAPES])
    parser.add_argument("--in-flight", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--prompt", nargs="+", type=int, default=[2_048, 8_000])
    parser.add_argument("--rows", nargs="+", type=int, default=[16])
    parser.add_argument("--rounds", type=int, default=1, help="turns of each number")
    parser.add_argument("--scratch", type=Path, help="where models are kept")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, shape, number = options.one
        print(json.dumps(one(kind, shape, int(number), options.scratch)))
        return
    here = Path(__file__).resolve().parents[1]
    roots = (
        {"now": here}
        if not options.before
        else {"before": options.before.resolve(), "now": here}
    )
    numbers = {
        "sample": options.in_flight,
        "adapted": options.in_flight,
        "memory": options.prompt,
        "update": options.rows,
    }
    with tempfile.TemporaryDirectory() as made:
        scratch = options.scratch or Path(made)
        for shape in options.shapes:
            if "sample" in options.only and os.environ.get("AGENTGYM_VLLM"):
                most = max(options.in_flight)
                found = apart(here, scratch, "vllm", shape, most)
                show(0, "vllm", found, "sample", shape, most)
            for kind in options.only:
                for number in numbers[kind]:
                    # The embedded policy has no room for long prompts.
                    if kind == "memory" and shape == "embedded":
                        continue
                    for turn in range(options.rounds):
                        for name, root in roots.items():
                            show(
                                turn,
                                name,
                                apart(root, scratch, kind, shape, number),
                                kind,
                                shape,
                                number,
                            )
                        if kind == "sample":
                            show(
                                turn,
                                "generate",
                                apart(here, scratch, "generate", shape, number),
                                kind,
                                shape,
                                number,
                            )


def show(
    turn: int, who: str, found: dict[str, float], kind: str, shape: str, number: int
) -> None:
    """Prints a line."""
    cells = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
    print(f"{kind:8} {shape:9} {number:5}  #{turn} {who:9} {cells}", flush=True)


if __name__ == "__main__":
    main()
