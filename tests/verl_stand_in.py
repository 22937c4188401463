"""Stands in for `run_ppo`, which needs CUDA: all around its updates is the real thing.

It serves the policy, has Agent Lightning's manager queue rollouts with our parts in its
trainer's module, makes verl's batches, and saves as verl's FSDP workers do. Only the
step is missing: the LoRA weights that it saves are drawn at random, and small.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import torch
from agentlightning.verl.agl_rollout_manager import AglRolloutManagerBase
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.server.process import PolicyProcess
from agentgym.training.verl.composed import compose
from agentgym.training.verl.substitutes import substitute
from agentgym.training.verl.verl_job import VerlJob
from agentgym.training.verl.verl_metrics import PATH_VARIABLE


def main(file: Path) -> None:
    """Trains as the file says."""
    job = json.loads(file.read_text())
    config: Any = compose(job["overrides"], job["file"])
    print("stand-in for run_ppo", flush=True)
    if "fail" in job["overrides"]["trainer"]["experiment_name"]:
        raise SystemExit("RuntimeError: CUDA out of memory")
    trainer = substitute(
        VerlJob.from_json(job["overrides"]["agentlightning"]["agentgym"])
    )
    model = config.actor_rollout_ref.model
    with (
        PolicyProcess.start(model.path, name=model.path) as policy,
        without_key(policy.endpoint) as url,
        Path(os.environ[PATH_VARIABLE]).open("w") as metrics,
    ):
        for step in range(1, config.trainer.total_training_steps + 1):
            data = _step(trainer, config, job, step, url)
            metrics.write(json.dumps({"step": step, "data": data}) + "\n")
            metrics.flush()
            _save(config, step)


@contextmanager
def without_key(endpoint: PolicyEndpoint) -> Iterator[str]:
    """An address of the policy that asks for no key, as that of vLLM in verl."""
    base = endpoint.base_url.removesuffix("/v1")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {
                "Authorization": f"Bearer {endpoint.api_key}",
                "Content-Type": "application/json",
            }
            answer = httpx.post(
                base + self.path,
                content=body,
                headers=headers,
                timeout=300,
                trust_env=False,
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def _step(
    trainer: Any, config: Any, job: dict[str, Any], step: int, url: str
) -> dict[str, float]:
    lightning, size = config.agentlightning, config.data.train_batch_size
    manager: AglRolloutManagerBase = trainer.AglRolloutManager(
        agl_base_url=lightning.agl_base_url,
        agl_key=lightning.agl_key,
        model=config.actor_rollout_ref.model.path,
        step=step,
        train_rollout_n=config.actor_rollout_ref.rollout.n,
        poll_interval_seconds=0.2,
    )
    adapter = trainer.RolloutAdapter(
        max_prompt_length=2048,
        max_response_length=1024,
        device=torch.device("cpu"),
        pad_token_id=0,
        trace_aggregator_level="trajectory",
    )
    with manager.client:
        manager.delete_model()
        manager.register_model([url])
        rows = job["train"][(step - 1) * size :][:size]
        played = _play(manager, rows, is_train=True)
        batch, metrics = adapter.get_train_data_batch(played, global_steps=step)
        batch, _ = trainer.compute_rollout_level_advantage(batch)
        print(f"batch of {len(batch)} rows", flush=True)
        validated = _play(manager, job["validation"][:4], is_train=False)
        metrics |= adapter.get_test_metrics(validated, global_steps=step)
    return {name: float(value) for name, value in metrics.items()}


def _play(manager: Any, rows: list[dict[str, Any]], *, is_train: bool) -> list[Any]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    played: list[Any] = manager.enqueue_and_wait_until_completed(
        columns, is_train=is_train
    )
    return played


def _save(config: Any, step: int) -> None:
    """As verl 0.8's FSDP workers do, of which this is the only one."""
    model = config.actor_rollout_ref.model
    folder = Path(config.trainer.default_local_dir)
    actor = folder / f"global_step_{step}" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    torch.manual_seed(step)
    base = AutoModelForCausalLM.from_pretrained(model.path)
    lora = LoraConfig(
        r=model.lora_rank, lora_alpha=model.lora_alpha, target_modules="all-linear"
    )
    policy = get_peft_model(base, lora)
    tensors = {
        name: tensor + 1e-4 * torch.randn_like(tensor) if "lora_B" in name else tensor
        for name, tensor in policy.state_dict().items()
    }
    torch.save(tensors, actor / "model_world_size_1_rank_0.pt")
    said = {
        "fsdp_config.json": {"FSDP_version": 1, "world_size": 1},
        "lora_train_meta.json": {
            "r": model.lora_rank,
            "lora_alpha": model.lora_alpha,
            "task_type": "CAUSAL_LM",
        },
    }
    for name, content in said.items():
        (actor / name).write_text(json.dumps(content))
    AutoConfig.from_pretrained(model.path).save_pretrained(actor / "huggingface")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        source = Path(model.path) / name
        (actor / "huggingface" / name).write_bytes(source.read_bytes())
    (folder / "latest_checkpointed_iteration.txt").write_text(str(step))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
