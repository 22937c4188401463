"""Where a model is reached, and how an option names it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is reached: an OpenAI-compatible API.

    Attributes:
        base_url: The address before `/chat/completions`, usually ending in `/v1`.
        api_key: Kept out of printed endpoints and tracebacks.
        model: The name to ask for.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str


# The public name: an agent's own factory is given the endpoint of its policy.
PolicyEndpoint = Endpoint


def split_url_and_model(spec: str) -> tuple[str, str] | None:
    """Reads the `URL#MODEL` of an option.

    Returns:
        The base URL without a slash at its end, and the model, which is empty where
        none is named; None if this is no `http(s)://` URL with a host.
    """
    url, _, model = spec.strip().partition("#")
    try:
        address = urlsplit(url)
        reachable = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        return None
    return (url.rstrip("/"), model) if reachable else None
