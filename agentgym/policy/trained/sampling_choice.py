"""Which engine samples for a policy option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agentgym.endpoint import Endpoint, split_url_and_model, without_secrets
from agentgym.errors import UsageError
from agentgym.policy.engine.devices import on_gpu
from agentgym.policy.folders.hub_download import find_model
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.weights_digest import model_fingerprint
from agentgym.policy.trained.resolve import Local, Remote, resolve
from agentgym.policy.vllm_engine.choice import (
    VllmChoice,
    find_program,
    rank_for,
    worth_starting,
)
from agentgym.policy.vllm_engine.served_model import (
    NoVllmError,
    check_updating,
    is_here,
    served_model,
)
from agentgym.runs.summary_json import SampledJson

VLLM_LOG = Path(".agentgym", "vllm.log")
"""The log of a vLLM that was started to measure; a training has its own."""
ENGINES = ("auto", "own", "vllm")
"""What `--agentgym-engine` takes. "auto" is vLLM where a GPU and vLLM are there."""


def measured_by(
    spec: str, engine: str, *, api_key: str, root: Path | None = None
) -> tuple[Local | Remote, VllmChoice | None]:
    """What a policy option means, and the vLLM that samples for our server.

    Args:
        spec: As `resolve` takes it.
        engine: One of `ENGINES`.
        api_key: Sent to a remote server.
        root: Trained agents are also looked for in this project.

    Returns:
        The policy; with None our own engine samples, or a remote server answers by
        itself.

    Raises:
        UsageError: The policy cannot be used, or vLLM cannot sample.
    """
    named = split_url_and_model(spec)
    if named is not None and engine == "vllm":
        return _served(*named, api_key=api_key, share=None)
    policy = resolve(spec, api_key=api_key, root=root)
    if isinstance(policy, Remote):
        return policy, None
    log = (root or Path()) / VLLM_LOG
    vllm = _started(policy, engine, rank=1)
    return policy, vllm and replace(vllm, log=log.absolute())


def sampled_by(
    spec: str, engine: str, *, root: Path | None = None, device: str | None = None
) -> SampledJson | None:
    """What samples a policy, as a run's files have it; None for others' servers.

    Args:
        spec: As `resolve` takes it.
        engine: One of `ENGINES`.
        root: Trained agents are also looked for in this project.
        device: What was asked for; None for a GPU if there is one.

    Raises:
        UsageError: The policy cannot be used.
        OSError: Its weights cannot be read.
    """
    if split_url_and_model(spec) is not None:
        return None
    policy, vllm = measured_by(spec, engine, api_key="", root=root)
    if isinstance(policy, Remote):
        return None
    return {
        "weights": model_fingerprint(policy.path, policy.adapter),
        "engine": "own" if vllm is None else "vllm",
        "device": "gpu" if on_gpu(device) else "cpu",
    }


def trained_by(
    spec: str,
    engine: str,
    *,
    api_key: str,
    share: Path | None,
    rank: int,
    root: Path | None = None,
) -> tuple[Local, VllmChoice | None]:
    """The policy that is trained, and the vLLM that samples for it.

    Args:
        spec: As `resolve` takes it.
        engine: One of `ENGINES`.
        api_key: Sent to a remote server.
        share: Folder for adapters that a vLLM server reads, too, if one is named.
        rank: Of the LoRA weights that are trained.
        root: Trained agents are also looked for in this project.

    Raises:
        UsageError: It cannot be trained; says why and what to do.
    """
    named = split_url_and_model(spec)
    if named is None:
        if share is not None:
            raise UsageError(
                "--agentgym-adapter-dir belongs to a vLLM server that runs already: "
                "name it by --agentgym-policy URL#MODEL"
            )
        policy = resolve(spec, root=root)
        assert isinstance(policy, Local)
        return policy, _started(policy, engine, rank=rank)
    url, model = named
    shown = without_secrets(url)
    if engine == "own":
        raise UsageError(
            f"--agentgym-engine own: the model behind {shown} is sampled there; name a "
            "model folder"
        )
    try:
        policy, vllm = _served(url, model, api_key=api_key, share=share)
    except NoVllmError as error:
        raise UsageError(
            f"the model behind {without_secrets(spec)} can be measured, not trained: "
            f"{error}; give --agentgym-policy a model folder, or the URL of a vLLM "
            "server"
        ) from None
    if share is None and not is_here(url):
        raise UsageError(
            f"--agentgym-policy {shown}: training needs --agentgym-adapter-dir, a "
            "folder that this machine writes and the vLLM server reads"
        )
    check_updating(Endpoint(url, api_key, vllm.model))
    return policy, vllm


def _started(policy: Local, engine: str, *, rank: int) -> VllmChoice | None:
    check_folder(policy.path)
    if engine == "own" or (engine == "auto" and not worth_starting(policy.path)):
        return None
    return VllmChoice(program=find_program(), rank=rank_for(policy.adapter, rank))


def _served(
    url: str, model: str, *, api_key: str, share: Path | None
) -> tuple[Local, VllmChoice]:
    served = served_model(url, api_key, model)
    where = without_secrets(url)
    try:
        base = find_model(served.root)
    except UsageError as error:
        raise UsageError(
            f"vLLM at {where} serves {served.root}, whose tokenizer (for training its "
            f"weights, too) is needed here: {error}"
        ) from error
    if not base.is_dir():
        raise UsageError(
            f"vLLM at {where} serves {served.root}, which is not on this machine, and "
            "its tokenizer (for training its weights, too) is needed here: put the "
            "same folder here"
        )
    check_folder(base)
    adapter = served.adapter
    if adapter is not None and not adapter.is_dir():
        raise UsageError(
            f"vLLM at {where} serves the adapter {adapter}, which is not on this "
            "machine: put the same folder here, or name the base model"
        )
    choice = VllmChoice(base_url=url, model=served.endpoint.model, share=share)
    return Local(base, adapter, model or served.endpoint.model), choice
