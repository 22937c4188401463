"""Where a model is reached, and how an option names it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MASK = "***"
"""Stands for a secret."""
_USER_INFO = re.compile(r"(://)[^\s/?#'\"<>]*@")
_KEY = re.compile(
    r"""([?&;](?:[\w.%-]*[-_.])?
    (?:[a-z]*(?:key|token|secret|password|passwd|signature|credentials?)
    |pass|pwd|sig|auth|authorization|jwt)=)
    [^&;\#\s'"<>)]+""",
    re.IGNORECASE | re.VERBOSE,
)


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

    def __repr__(self) -> str:
        name = type(self).__name__
        url = without_secrets(self.base_url)
        return f"{name}(base_url={url!r}, model={self.model!r})"


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


def without_secrets(text: str) -> str:
    """The text with the secrets of the addresses in it masked.

    Those are a user's name and password before the host, and query parameters whose
    name ends as a key's does. Addresses become text in more places than ours: clients
    write them into their errors and logs.

    Args:
        text: An address, or a text that may hold some.
    """
    if "://" in text:
        text = _USER_INFO.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _KEY.sub(rf"\1{MASK}", text)
    return text
