"""Which vLLM samples: one that runs already, or one that is started for the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.policy.engine.devices import nvidia_gpus
from agentgym.policy.folders.adapter_folder import check_adapter

PROGRAM = "AGENTGYM_VLLM"
"""Environment variable that names the `vllm` of another environment."""
LEAST_BYTES = 100_000_000
"""Of the weights: smaller models, which our own engine serves at once, are not worth
the minute that vLLM takes to start."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmChoice:
    """How vLLM samples.

    Attributes:
        base_url: A server that runs already; empty for one that is started.
        model: The base model's name there.
        share: Folder for adapters that such a server reads, too.
        program: What is started.
        rank: The largest rank of an adapter.
        log: Gets the started server's output.
    """

    base_url: str = ""
    model: str = "base"
    share: Path | None = None
    program: str = "vllm"
    rank: int = 16
    log: Path | None = None

    @property
    def starts(self) -> bool:
        """Whether a server is started for the run."""
        return not self.base_url

    def arguments(self) -> Iterator[str]:
        """The options of the policy server that say the same."""
        if self.starts:
            yield from ("--vllm", self.program, "--vllm-rank", str(self.rank))
        else:
            yield from ("--vllm-url", self.base_url, "--vllm-model", self.model)
        if self.share is not None:
            yield from ("--vllm-share", str(self.share))
        if self.log is not None:
            yield from ("--vllm-log", str(self.log))


def find_program() -> str:
    """The `vllm` to start.

    Raises:
        UsageError: There is none.
    """
    named = os.environ.get(PROGRAM, "").strip()
    found = shutil.which(named or "vllm")
    if found is not None:
        return found
    if named:
        raise UsageError(
            f"{PROGRAM}={named}: there is no such program: give the path of the vllm "
            "of another environment, such as /path/to/venv/bin/vllm"
        )
    raise UsageError(
        "--agentgym-engine vllm needs vLLM, and there is no vllm on the PATH: install "
        f"it, or name the vllm of another environment in {PROGRAM}"
    )


def worth_starting(model: Path) -> bool:
    """Whether vLLM samples where nothing else is said: a GPU, and a model to fill it.

    Args:
        model: Its folder.
    """
    if not nvidia_gpus():
        return False
    try:
        find_program()
    except UsageError:
        return False
    weights = [*model.glob("*.safetensors"), *model.glob("pytorch_model*.bin")]
    return sum(file.stat().st_size for file in weights) >= LEAST_BYTES


def rank_for(adapter: Path | None, rank: int = 1) -> int:
    """The least `--max-lora-rank` that is enough.

    Args:
        adapter: Folder of an adapter that is served.
        rank: Of those that are trained.

    Raises:
        UsageError: vLLM takes no adapters of this rank.
    """
    if adapter is not None:
        modules = check_adapter(adapter).modules.values()
        rank = max(rank, *(rank for _, rank, _ in modules))
    room = next((limit for limit in _RANKS if rank <= limit), None)
    if room is None:
        raise UsageError(
            f"vLLM takes adapters of at most rank {_RANKS[-1]}, not {rank}: lower "
            "lora_rank, or sample with --agentgym-engine own"
        )
    return room
