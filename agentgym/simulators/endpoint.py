"""Where a judge's or a simulated user's model is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from agentgym.errors import UsageError

Role = Literal["judge", "user"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: The address before `/chat/completions`, usually ending in `/v1`.
        api_key: Kept out of printed endpoints and tracebacks.
        model: The name to ask for.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str

    @classmethod
    def read(cls, role: Role, spec: str, api_key: str) -> Endpoint:
        """The endpoint that `--agentgym-judge` or `--agentgym-user` names.

        Raises:
            UsageError: It is not `URL#MODEL`.
        """
        url, _, model = spec.strip().partition("#")
        option = f"--agentgym-{role} {spec}"
        try:
            address = urlsplit(url)
            known = address.scheme in ("http", "https") and bool(address.hostname)
        except ValueError:
            known = False
        if not known:
            raise UsageError(
                f"{option}: give the URL of an OpenAI-compatible API and a model, such "
                "as https://api.example.com/v1#MODEL"
            )
        if not model:
            raise UsageError(
                f"{option}: say which model, as in --agentgym-{role} {url}#MODEL"
            )
        return cls(url.rstrip("/"), api_key, model)
