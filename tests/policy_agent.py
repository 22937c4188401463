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
        headers = {{"Authorization": f"Bearer {{policy.api_key}}"}}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            choice = json.load(answer)["choices"][0]
        return json.dumps({reply})

    return agentgym.wrap(ask)
"""


def policy_agent(reply: str, **fields: Any) -> str:
    """Source of a conftest whose agent replies with a part of the choice, as JSON."""
    return _SOURCE.format(reply=reply, fields=fields)
