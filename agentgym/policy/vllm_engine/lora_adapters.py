"""Adapters of a vLLM server: loaded under names that no earlier one had.

A name is never used twice. vLLM refuses one that is loaded already, and its cache of
prompts is keyed by names: weights that are loaded in place are answered for with what
those before them computed.
"""

from __future__ import annotations

import re
import secrets
import shutil
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.endpoint import Endpoint, without_secrets
from agentgym.errors import AgentGymError, InfraError, UsageError
from agentgym.policy.folders.adapter_folder import CONFIG, WEIGHTS, check_adapter
from agentgym.policy.vllm_engine.served_model import VllmAnswerError, ask

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
_RANK = re.compile(r"LoRA rank (\d+) is greater than max_lora_rank (\d+)")
_NO_LORA = re.compile(r"lora is not enabled|LoRA is not enabled|no lora", re.IGNORECASE)


@dataclass(eq=False, slots=True)
class LoadedAdapter:
    """An adapter that vLLM has.

    Attributes:
        served: Its name there.
        folder: As peft wrote it.
        copy: Where vLLM reads it, if that is another folder.
        users: Requests that run with it.
        unloaded: Set once nobody may ask for it any more; done when it is gone.
    """

    served: str
    folder: Path
    copy: Path | None
    users: int = 0
    unloaded: Future[None] | None = field(default=None)


class LoraAdapters:
    """Loads adapters into a vLLM server, and unloads them.

    Args:
        endpoint: Of the server.
        share: Folder that the server reads, too; None where it reads all that we do.
    """

    def __init__(self, endpoint: Endpoint, share: Path | None) -> None:
        self._endpoint = endpoint
        self._share = share

    def load(self, name: str, folder: Path) -> LoadedAdapter:
        """Has vLLM load an adapter.

        Args:
            name: The beginning of its name there.
            folder: As peft wrote it.

        Raises:
            UsageError: vLLM cannot serve it; says why and what to do.
            InfraError: vLLM does not answer.
        """
        check_adapter(folder)
        served = f"{name}-{secrets.token_hex(4)}"
        copy = None if self._share is None else self._copy(folder, served)
        adapter = LoadedAdapter(served, folder, copy)
        try:
            self._post(adapter)
        except BaseException:
            self._remove(adapter)
            raise
        return adapter

    def unload(self, adapter: LoadedAdapter) -> None:
        """Has vLLM forget an adapter; harmless where it does not answer any more."""
        with suppress(VllmAnswerError, AgentGymError):
            ask(self._endpoint, UNLOAD, {"lora_name": adapter.served})
        self._remove(adapter)

    def _post(self, adapter: LoadedAdapter) -> None:
        path = (adapter.copy or adapter.folder).expanduser().resolve()
        body = {"lora_name": adapter.served, "lora_path": str(path)}
        try:
            ask(self._endpoint, LOAD, body)
        except VllmAnswerError as error:
            raise self._refusal(error, path) from None

    def _refusal(self, error: VllmAnswerError, path: Path) -> AgentGymError:
        """What vLLM's answer to a load means."""
        text = " ".join(str(error).split())
        where = f"vLLM at {without_secrets(self._endpoint.base_url)}"
        rank = _RANK.search(text)
        if rank is not None:
            return UsageError(
                f"{where} takes adapters of at most rank {rank[2]}, and this one has "
                f"{rank[1]}: start it with --max-lora-rank {rank[1]}, or train with "
                f"lora_rank={rank[2]}"
            )
        if "No adapter found" in text:
            return UsageError(
                f"{where} cannot read the adapter's folder {path}: give "
                "--agentgym-adapter-dir a folder that the server sees under the same "
                "path"
            )
        if error.status in (404, 405) and text == "Not Found":
            return UsageError(
                f"{where} takes no adapters while it runs: start it with "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment, and with "
                "--enable-lora"
            )
        if _NO_LORA.search(text):
            return UsageError(
                f"{where} serves no adapters: start it with --enable-lora"
            )
        if error.status in (502, 503, 504):
            return InfraError(f"{where} cannot load the adapter: {text}")
        return UsageError(f"{where} refuses the adapter in {path}: {text}")

    def _copy(self, folder: Path, name: str) -> Path:
        assert self._share is not None
        target = self._share / name
        try:
            target.mkdir(parents=True)
            for file in (CONFIG, WEIGHTS):
                shutil.copyfile(folder / file, target / file)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise UsageError(
                f"--agentgym-adapter-dir {self._share}: an adapter cannot be written "
                f"there: {error.strerror or error}"
            ) from None
        return target

    def _remove(self, adapter: LoadedAdapter) -> None:
        if adapter.copy is not None:
            shutil.rmtree(adapter.copy, ignore_errors=True)
