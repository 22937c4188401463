"""The conftest of projects whose agent asks the policy over HTTP."""

from __future__ import annotations

from typing import Any

_SOURCE = """
import json
import urllib.request

import agentgym
import pytest


@pytest.fixture
def agent(policy):
    def ask(message):
        body = {{
            "model": policy.model,
            "messages": [{{"role": "user", "content": message}}],
            "temperature": 0,
            **{fields!r},
        }}
        url = policy.base_url + "/chat/completions"
        with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
            choice = json.load(answer)["choices"][0]
        return json.dumps({reply})

    return agentgym.wrap(ask)
"""


def policy_agent(reply: str, **fields: Any) -> str:
    """Source of a conftest whose agent replies with a part of the choice, as JSON."""
    return _SOURCE.format(reply=reply, fields=fields)
