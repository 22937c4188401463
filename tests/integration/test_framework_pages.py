"""Each framework's page of the docs, with the scenario of the page that lists them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agentgym.testing import Reply, ScriptedModel, call, say
from tests.conftest import Gym

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
FRAMEWORKS = sorted((PAGES / "frameworks").glob("*.md"))
UNSEEN = {"google-adk"}
"""Frameworks whose models' calls are not seen, as their pages say."""


def block(page: Path, file: str) -> str:
    found = re.findall(rf"```python\n# {file}\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(found) == 1, page.name
    return str(found[0])


def desk(request: dict[str, Any]) -> Reply:
    """A model that looks the order up, and says what it has found."""
    if not any(message["role"] == "assistant" for message in request["messages"]):
        return call("lookup_order", order_id="A17")
    tools = [tool["function"]["name"] for tool in request.get("tools", ())]
    text = "A17 was delivered."
    return call("final_answer", answer=text) if "final_answer" in tools else say(text)


@pytest.mark.slow
@pytest.mark.parametrize("page", FRAMEWORKS, ids=lambda page: page.stem)
def test_a_page_of_a_framework(
    gym: Gym, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conftest = block(page, "conftest.py")
    for module in re.findall(r"^(?:from|import) ((?:google\.)?\w+)", conftest, re.M):
        # Not imported: pytester would forget it, and part of what it imports.
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.setenv("AGENTGYM_API_KEY", "none")
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    gym.file(block(PAGES / "agents.md", "test_order.py"), "test_order.py")
    gym.file(conftest, "conftest.py")
    with ScriptedModel(desk) as model:
        policy = f"--agentgym-policy={model.base_url}#{model.name}"
        result = gym.start("--agentgym-threshold=1", policy)
        assert model.requests
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*reliability 100.0 % (5/5 episodes*"])
    assert ("tokens in" in result.stdout.str()) == (page.stem not in UNSEEN)
