"""Who a simulator plays, and the model that its option names."""

from __future__ import annotations

from typing import Literal

from agentgym.endpoint import Endpoint, split_url_and_model, without_secrets
from agentgym.errors import UsageError

Role = Literal["judge", "user"]


def read_endpoint(role: Role, spec: str, api_key: str) -> Endpoint:
    """The endpoint that `--agentgym-judge` or `--agentgym-user` names.

    Args:
        role: Which of the two options it is.
        spec: The option's value, `URL#MODEL`.
        api_key: Sent to the API.

    Raises:
        UsageError: It is not `URL#MODEL`.
    """
    named = split_url_and_model(spec)
    if named is None:
        raise UsageError(
            f"--agentgym-{role} {without_secrets(spec)}: give the URL of an "
            "OpenAI-compatible API and a model, such as https://api.example.com/v1#MODEL"
        )
    url, model = named
    if not model:
        raise UsageError(
            f"--agentgym-{role} {without_secrets(spec)}: say which model, as in "
            f"--agentgym-{role} {without_secrets(url)}#MODEL"
        )
    return Endpoint(url, api_key, model)
