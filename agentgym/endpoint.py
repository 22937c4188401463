"""Where an agent reaches the policy."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PolicyEndpoint:
    """An OpenAI-compatible endpoint.

    Attributes:
        base_url: The address before `/chat/completions`, usually ending in `/v1`.
        api_key: Kept out of printed endpoints and tracebacks.
        model: The name to ask for.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
