"""Where an agent reaches the policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyEndpoint:
    """An OpenAI-compatible endpoint."""

    base_url: str
    api_key: str
    model: str
