"""What a policy option means: a model, here or of the hub, a trained agent, a URL."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agentgym.endpoint import Endpoint, split_url_and_model, without_secrets
from agentgym.errors import UsageError
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.hub_download import find_hub_model, is_hub_name
from agentgym.policy.trained.agent_folder import is_agent
from agentgym.policy.trained.trained_agent import TrainedAgent


@dataclass(frozen=True, slots=True)
class Local:
    """A model folder, to be served by a process of our own.

    Attributes:
        path: The folder.
        adapter: Folder of a LoRA adapter that belongs to it.
        name: Name of the model in the API; the hub's or the folder's if empty.
        template: Variables of the chat template that it was trained with.
    """

    path: Path
    adapter: Path | None = None
    name: str = ""
    template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remote:
    """A server that runs already."""

    endpoint: Endpoint


def resolve(
    spec: str, *, api_key: str = "agentgym", root: Path | None = None
) -> Local | Remote:
    """Says what a policy option means.

    Args:
        spec: "embedded", a model folder, a trained agent's name or folder, the name
            of a model of the Hugging Face hub, or the URL of an OpenAI-compatible API,
            with `#MODEL` behind it unless the server's first model is meant.
        api_key: Sent to a remote server.
        root: Trained agents are also looked for in this project.

    Raises:
        UsageError: The folder does not exist, the trained agent cannot be used, the
            hub does not give the model, or the server does not answer.
    """
    if spec == "embedded":
        if not (embedded_path() / "config.json").is_file():
            raise UsageError(
                f"the embedded policy is missing in {embedded_path()}: "
                "make it with python -m agentgym.policy.build"
            )
        return Local(embedded_path())
    named = split_url_and_model(spec)
    if named is not None:
        url, model = named
        return Remote(Endpoint(url, api_key, model or _first_model(url, api_key)))
    path = Path(spec).expanduser()
    # Of a name that no file can have, pathlib raises an error.
    # An agent often has the name of its scenarios' folder: only a model comes first.
    if not os.path.isfile(path / "config.json"):
        for place in (None, root):
            if is_agent(spec, place):
                agent = TrainedAgent.load(spec, place)
                return Local(agent.base, agent.adapter, str(agent), agent.template)
    if is_hub_name(spec):
        return Local(find_hub_model(spec).folder)
    if not os.path.exists(path):
        raise UsageError(
            f"policy {without_secrets(spec)!r} is neither an existing folder nor an "
            'http(s) URL nor "embedded" nor a trained agent, nor OWNER/NAME of a model '
            "of the Hugging Face hub"
        )
    return Local(path)


def _first_model(base_url: str, api_key: str) -> str:
    shown = without_secrets(base_url)
    try:
        request = _models_request(base_url, api_key)
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            listing = json.load(answer)
    except urllib.error.HTTPError as error:
        advice = "is this the base URL of an OpenAI-compatible API?"
        if error.code in (401, 403):
            advice = "give its key in AGENTGYM_API_KEY"
        with error:
            raise UsageError(
                f"the policy endpoint {shown}/models answered {error.code} "
                f"{error.reason}: {advice}"
            ) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = without_secrets(str(getattr(error, "reason", error)))
        raise UsageError(
            f"the policy endpoint {shown}/models is not reachable: {reason}"
        ) from None
    try:
        return str(listing["data"][0]["id"])
    except (KeyError, IndexError, TypeError):
        raise UsageError(
            f"the policy endpoint {shown}/models lists no model: name one as "
            f"{shown}#MODEL"
        ) from None


def _models_request(base_url: str, api_key: str) -> urllib.request.Request:
    """Asks for the list of models as agents' clients would ask.

    urllib takes a user's name before the host for a part of the host.
    """
    address = urlsplit(base_url)
    user, at, host = address.netloc.rpartition("@")
    authorization = f"Bearer {api_key}"
    if at:
        basic = base64.b64encode(unquote(user).encode()).decode()
        authorization = f"Basic {basic}"
    path = f"{address.path.rstrip('/')}/models"
    url = address._replace(netloc=host, path=path).geturl()
    headers = {"Authorization": authorization}
    return urllib.request.Request(url, headers=headers)  # noqa: S310
