"""What a running vLLM server says of itself, and whether it can sample for us."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agentgym.endpoint import Endpoint, without_secrets
from agentgym.errors import InfraError, UsageError

LEAST_VERSION = (0, 10, 2)
"""The first vLLM whose completions return token ids."""
_SECONDS = 30
_LOAD_SECONDS = 600
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this machine, whatever proxy the environment names."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class NoVllmError(UsageError):
    """Another kind of server."""


class VllmAnswerError(Exception):
    """vLLM refused a request.

    Args:
        status: Of the answer.
        message: vLLM's own.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model of a vLLM server.

    Attributes:
        endpoint: The server, and the base model's name there.
        root: What the server calls the base model: a folder, or a hub's name.
        adapter: Folder of the adapter that was asked for; None for the base model.
        context: The most tokens of a prompt and its reply.
    """

    endpoint: Endpoint
    root: str
    adapter: Path | None
    context: int


def origin(base_url: str) -> str:
    """What stands before `/v1`."""
    return base_url.rstrip("/").removesuffix("/v1")


def is_here(base_url: str) -> bool:
    """Whether an address is this machine's own."""
    return (urlsplit(base_url).hostname or "") in _LOOPBACK


def served_model(base_url: str, api_key: str, name: str = "") -> ServedModel:
    """Asks a vLLM server for a model, and checks that it can sample for us.

    Args:
        base_url: Ends in `/v1`.
        api_key: Sent to it.
        name: The model's name there; the server's first one if empty.

    Raises:
        UsageError: It is no vLLM server, too old, or has no such model.
    """
    endpoint = Endpoint(base_url, api_key, name)
    where = without_secrets(base_url)
    _check_version(endpoint, where)
    try:
        cards = ask(endpoint, "/v1/models")["data"]
        known = {str(card["id"]): card for card in cards}
    except VllmAnswerError as error:
        hint = "; its key comes from AGENTGYM_API_KEY" if error.status == 401 else ""
        raise UsageError(
            f"vLLM at {where} answered /v1/models with {error.status}: {error}{hint}"
        ) from None
    except (KeyError, TypeError):
        raise UsageError(f"vLLM at {where} lists no models") from None
    card = known.get(name) if name else next(iter(known.values()), None)
    if card is None:
        names = " or ".join(map(repr, known)) or "no model"
        raise UsageError(f"vLLM at {where} serves {names}, not {name!r}")
    parent = card.get("parent")
    base = known.get(parent, card) if parent else card
    return ServedModel(
        endpoint=Endpoint(base_url, api_key, str(base["id"])),
        root=str(base.get("root") or base["id"]),
        adapter=Path(str(card["root"])) if parent else None,
        context=int(base.get("max_model_len") or 0),
    )


def check_updating(endpoint: Endpoint) -> None:
    """Checks that the server takes adapters while it runs.

    Raises:
        UsageError: It does not.
    """
    body = {"lora_name": "", "lora_path": ""}
    try:
        ask(endpoint, "/v1/load_lora_adapter", body)
    except VllmAnswerError as error:
        if error.status in (404, 405):
            raise UsageError(
                f"vLLM at {without_secrets(endpoint.base_url)} takes no adapters while "
                "it runs: start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its "
                "environment, and with --enable-lora"
            ) from None


def ask(endpoint: Endpoint, path: str, body: Any = None) -> Any:
    """Gets, or posts a body to, a path of a vLLM server.

    Args:
        endpoint: Of the server.
        path: Such as `/v1/models` or `/version`.
        body: What is posted; None to get.

    Returns:
        The JSON of the answer; its text where it is none.

    Raises:
        VllmAnswerError: It refuses.
        InfraError: It does not answer.
    """
    address = urlsplit(origin(endpoint.base_url) + path)
    user, at, host = address.netloc.rpartition("@")
    headers = {
        "Authorization": f"Bearer {endpoint.api_key}",
        "Content-Type": "application/json",
    }
    if at:
        # urllib takes a user's name before the host for a part of the host.
        basic = base64.b64encode(unquote(user).encode()).decode()
        headers["Authorization"] = f"Basic {basic}"
    url = address._replace(netloc=host).geturl()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    seconds = _SECONDS if body is None else _LOAD_SECONDS
    direct = is_here(endpoint.base_url)
    opened = _DIRECT.open if direct else urllib.request.urlopen
    try:
        with opened(request, timeout=seconds) as answer:
            text = answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            raise VllmAnswerError(error.code, _message(error)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = without_secrets(str(getattr(error, "reason", error)))
        raise InfraError(
            f"vLLM at {without_secrets(endpoint.base_url)} does not answer: {reason}"
        ) from None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_version(endpoint: Endpoint, where: str) -> None:
    try:
        answer = ask(endpoint, "/version")
    except InfraError as error:
        raise UsageError(str(error)) from None
    except VllmAnswerError as error:
        raise NoVllmError(
            f"{where} is no vLLM server: it answered /version with {error.status}"
        ) from None
    version = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(version, str):
        raise NoVllmError(f"{where} is no vLLM server: its /version names none")
    numbers = version_numbers(version)
    if numbers and numbers < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise UsageError(
            f"vLLM at {where} is version {version}, which returns no token ids: "
            f"use {least} or newer"
        )


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; empty where it has none, as of a checkout."""
    numbers = []
    for part in version.split("+")[0].split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    # What is built of a checkout calls itself 0.1.dev..., whatever it is.
    return () if "dev" in version else tuple(numbers)


def _message(error: urllib.error.HTTPError) -> str:
    """What vLLM says, in OpenAI's shape of errors or FastAPI's."""
    try:
        body = json.load(error)
        said = body.get("error", body)
        text = (
            said.get("message") or said.get("detail")
            if isinstance(said, dict)
            else said
        )
        return str(text)
    except (OSError, ValueError, AttributeError):
        return str(error.reason)
