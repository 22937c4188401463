"""Makes the engine that a choice of vLLM means."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agentgym.policy.engine.token_model import TokenModel
from agentgym.policy.vllm_engine.choice import VllmChoice
from agentgym.policy.vllm_engine.served_model import served_model
from agentgym.policy.vllm_engine.vllm_engine import VllmEngine
from agentgym.policy.vllm_engine.vllm_process import VllmProcess


def start_engine(
    policy: TokenModel,
    choice: VllmChoice,
    *,
    api_key: str,
    adapter: Path | None = None,
    dtype: str = "auto",
) -> VllmEngine:
    """Starts vLLM, or looks at the one that runs.

    Args:
        policy: The model without its weights.
        choice: Which vLLM.
        api_key: Sent to a server that runs already.
        adapter: Folder of an adapter for the requests that name none.
        dtype: Of a server that is started.

    Raises:
        UsageError: It does not start, or cannot sample for us.
    """
    if not choice.starts:
        served = served_model(choice.base_url, api_key, choice.model)
        return VllmEngine(
            policy,
            served.endpoint,
            context=served.context,
            share=choice.share,
            adapter=adapter,
        )
    log = choice.log or Path(tempfile.mkdtemp(prefix="agentgym-vllm-"), "vllm.log")
    process = VllmProcess.start(
        choice.program, policy.path, rank=choice.rank, log=log, dtype=dtype
    )
    try:
        served = served_model(process.endpoint.base_url, process.endpoint.api_key)
        return VllmEngine(
            policy,
            process.endpoint,
            context=served.context,
            adapter=adapter,
            process=process,
        )
    except BaseException:
        process.stop()
        raise
