"""A training whose episodes have processes of their own."""

from __future__ import annotations

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("langchain")

from tests.integration.test_training import Project

pytestmark = pytest.mark.slow

CONFTEST = """

CALLS = []


@pytest.fixture(autouse=True)
def only_one():
    CALLS.append(1)
    assert CALLS == [1], "it shares its process"
"""


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["", "workers"])
def test_a_training_with_processes_of_their_own(tmp_path, workers):
    project = Project(tmp_path, "test_refunds.py")
    pack = project.root / "customer_support"
    conftest = pack / "conftest.py"
    conftest.write_text(conftest.read_text() + CONFTEST)
    refunds = pack / "test_refunds.py"
    text = refunds.read_text()
    text = text.replace("@scenario(", "@scenario(isolation='process', ")
    refunds.write_text(text.replace("@scenario\n", "@scenario(isolation='process')\n"))
    code, output = project.run(*workers, "--agentgym-updates=2", "customer_support")
    assert code in (0, 1), output
    rows = project.lines("updates.jsonl")
    assert [row["update"] for row in rows] == [1, 2]
    for row in rows:
        assert row["mismatch"] < 1e-3
        assert row["stale_share"] == 0
    episodes = project.lines("episodes.jsonl")
    assert {e["outcome"] for e in episodes} == {"passed", "failed"}
    # Each asked the policy by a rollout of its own.
    asked = [e for e in episodes if e["phase"] == "train"]
    assert len({e["id"] for e in asked}) == len(asked) >= 32
    assert all(e["tokens"] for e in asked)
