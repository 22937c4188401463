"""`agentgym selftest` keeps quiet about no broken promise."""

from __future__ import annotations

import pytest

from agentgym.cli import main
from agentgym.reliability import selftest, sequential
from agentgym.reliability.selftest import gates, margin
from agentgym.reliability.sequential import SequentialTest


def test_promises_are_kept(capsys):
    assert main(["selftest", "--runs", "200"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("200 simulated runs")
    assert "74 sequentially" in said[-2]
    assert said[-1] == "every promise was kept"
    naive = next(line for line in said if "peeking with the exact test" in line)
    assert naive.endswith("(no promise)")


def test_a_wager_that_is_not_fair_is_found_out(capsys, monkeypatch):
    fair = sequential.log_capital_above
    monkeypatch.setattr(
        sequential, "log_capital_above", lambda *counts: fair(*counts) + 2
    )
    assert main(["selftest", "--runs", "200"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("BROKEN: certified, sequential: RELIABLE") for line in said
    )
    assert "promises broken" in said[-1]


def test_a_fixed_test_that_is_not_exact_is_found_out(capsys, monkeypatch):
    honest = selftest.judge
    monkeypatch.setattr(
        selftest, "judge", lambda passed, n, limit: honest(passed, n, limit - 0.03)
    )
    assert main(["selftest", "--runs", "200"]) == 1
    assert "BROKEN: certified, 59 episodes" in capsys.readouterr().out


def test_too_few_runs(capsys):
    assert main(["selftest", "--runs", "5"]) == 4
    assert "--runs 5: give at least 100" in capsys.readouterr().err


def test_margin():
    assert margin(0.05, 10_000) == pytest.approx(3.5 * 0.00218, abs=1e-4)


def test_every_gate_promises_something_but_those_to_compare_with():
    assert [gate.name for gate in gates() if gate.promise is None] == [
        "point, 32 episodes",
        "peeking with the exact test",
    ]
    assert SequentialTest(selftest.THRESHOLD).enough(0) == 74


@pytest.mark.slow
def test_promises_are_kept_in_10_000_runs(capsys):
    assert main(["selftest"]) == 0
    assert "10,000 simulated runs" in capsys.readouterr().out
