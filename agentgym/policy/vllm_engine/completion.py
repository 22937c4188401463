"""A generation as a request for vLLM's completions, and back."""

from __future__ import annotations

from typing import Any

from agentgym.errors import InfraError
from agentgym.policy.engine.generation import Generation
from agentgym.policy.engine.token_model import TokenModel

MOST_FORBIDDEN = 256
"""More tokens than these are not kept from being sampled: each is a field of every
request. A model that learns leaves them alone by itself."""
_ID = "token_id:"


def request_body(
    generation: Generation, policy: TokenModel, model: str, *, stream: bool
) -> dict[str, Any]:
    """What is posted to /v1/completions.

    Whatever could change the distribution is said: else vLLM takes the defaults that
    come with the model (`generation_config.json`).

    Args:
        generation: What is asked for.
        policy: The model.
        model: Its name, or an adapter's, at the server.
        stream: Whether each token is to come at once.
    """
    params = generation.params
    body: dict[str, Any] = {
        "model": model,
        "prompt": list(generation.prompt),
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "repetition_penalty": params.repetition_penalty,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "logprobs": params.top_logprobs,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "skip_special_tokens": False,
        "ignore_eos": params.ignore_eos,
        "stream": stream,
    }
    if params.seed is not None:
        body["seed"] = params.seed
    if params.stop:
        body["stop"] = list(params.stop)
    if not params.ignore_eos:
        body["stop_token_ids"] = sorted(policy.stop_ids)
    bias = {str(i): by for i, by in params.logit_bias}
    if 0 < len(policy.forbidden_ids) <= MOST_FORBIDDEN:
        bias |= {str(i): -100.0 for i in sorted(policy.forbidden_ids)}
    if bias:
        body["logit_bias"] = bias
    if generation.constraint is not None:
        body["structured_outputs"] = dict(generation.constraint.for_vllm)
    return body


def add_choice(generation: Generation, choice: dict[str, Any], where: str) -> None:
    """Adds what a choice, or a chunk of one, has to a generation.

    Args:
        generation: The one that was asked for.
        choice: Of vLLM's answer.
        where: The server, for error messages.

    Raises:
        InfraError: Its tokens are not those that were sampled for this prompt.
    """
    prompt = choice.get("prompt_token_ids")
    if prompt is not None and prompt != list(generation.prompt):
        raise InfraError(
            f"{where} answered another prompt than the {len(generation.prompt)} token "
            "ids that were sent"
        )
    ids = choice.get("token_ids")
    shown = choice.get("logprobs") or {}
    if ids is None:
        raise InfraError(
            f"{where} returns no token ids: it must be vLLM itself, of version 0.10.2 "
            "or newer, with nothing in between that drops fields"
        )
    logprobs, tokens = shown.get("token_logprobs"), shown.get("tokens")
    if ids and (not logprobs or len(logprobs) != len(ids) or None in logprobs):
        raise InfraError(
            f"{where} returned {len(ids)} token ids, but not as many log-probabilities"
        )
    if ids and [f"{_ID}{i}" for i in ids] != tokens:
        raise InfraError(
            f"{where} returned other token ids than it gave log-probabilities for"
        )
    generation.token_ids.extend(ids)
    if ids:
        generation.logprobs.extend(map(float, logprobs or ()))
    if ids and generation.params.top_logprobs:
        for top in shown.get("top_logprobs") or [{}] * len(ids):
            generation.top_logprobs.append(_ranked(top or {}, generation))
    stopped_by = choice.get("stop_reason")
    if isinstance(stopped_by, str):
        generation.stop_text = stopped_by


def _ranked(top: dict[str, float], generation: Generation) -> list[tuple[int, float]]:
    """The likeliest tokens; the sampled one is among vLLM's, however unlikely."""
    pairs = [(int(name.removeprefix(_ID)), value) for name, value in top.items()]
    pairs.sort(key=lambda pair: -pair[1])
    return pairs[: generation.params.top_logprobs]
