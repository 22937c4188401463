"""How vLLM serves a base model with its adapter, without vLLM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.folders.adapter_folder import check_adapter
from agentgym.policy.folders.hub_cache import model_name, shown
from agentgym.policy.folders.model_folder import stored_dtype
from agentgym.policy.server.process import check_port

# `--max-lora-rank` takes these: docs.vllm.ai, vllm.config.lora.MaxLoRARanks.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def command(
    base: Path,
    adapter: Path,
    name: str,
    port: int,
    *,
    dtype: str | None = None,
    template: Mapping[str, Any] | None = None,
) -> list[str]:
    """The command and its arguments.

    Args:
        base: Folder of the base model; its own name is the hub's or the folder's.
        adapter: Folder of the adapter.
        name: What clients ask for.
        port: Where vLLM listens.
        dtype: What the weights are turned to; None: as they are stored. vLLM itself
            would round those of a model in float32.
        template: Variables of the chat template.

    Raises:
        UsageError: This is no port, the adapter's rank more than vLLM takes, or its
            tool calls are in a format that vLLM has no parser for.
    """
    check_port(port)
    base, adapter = base.absolute(), adapter.absolute()
    rank = max(rank for _, rank, _ in check_adapter(adapter).modules.values())
    room = next((limit for limit in _RANKS if rank <= limit), None)
    if room is None:
        raise UsageError(
            f"vLLM takes adapters of at most rank {_RANKS[-1]}, and {name} has {rank}: "
            "merge() it and serve the merged folder"
        )
    module = f"{name}={adapter}"
    if "=" in str(adapter) or "," in module:
        module = json.dumps({"name": name, "path": str(adapter)})
    line = ["vllm", "serve", str(base), "--served-model-name", model_name(base)]
    line += ["--enable-lora", "--max-lora-rank", str(room), "--lora-modules", module]
    line += [*_parsers(base), "--dtype", dtype or stored_dtype(base)]
    if template:
        line += ["--default-chat-template-kwargs", json.dumps(dict(template))]
    line += ["--port", str(port)]
    file = _template(base)
    return line if file is None else [*line, "--chat-template", str(file)]


def parsers_of(base: Path) -> tuple[str, str | None]:
    """The parsers of vLLM for a model's tool calls, and for its thoughts if it has any.

    Raises:
        UsageError: vLLM has none for its tool calls.
    """
    from agentgym.policy.engine.token_model import read_token_model

    dialect = read_token_model(base).dialect
    calls, thoughts = dialect.calls.vllm_parser, dialect.reasoning_parser
    if calls is None:
        raise UsageError(
            f"vLLM has no parser for the tool calls of the model in {shown(base)} "
            f"({dialect.calls.name}): serve it with agentgym serve"
        )
    return calls, thoughts


def _parsers(base: Path) -> list[str]:
    """What vLLM is told of how the model writes calls and thoughts."""
    calls, thoughts = parsers_of(base)
    line = ["--enable-auto-tool-choice", "--tool-call-parser", calls]
    return line if thoughts is None else [*line, "--reasoning-parser", thoughts]


def _template(base: Path) -> Path | None:
    """The chat template's file, where older versions of vLLM would not look for it."""
    template = base / "chat_template.jinja"
    # Named ones come in a folder of their own, and vLLM then chooses among them.
    named = (base / "additional_chat_templates").exists()
    return template if template.is_file() and not named else None
