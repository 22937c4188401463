"""`agentgym selftest` keeps quiet about no broken promise."""

from __future__ import annotations

from random import Random
from statistics import fmean

import pytest

from agentgym.commands.main import main
from agentgym.reliability import (
    mean_verdict,
    paired_difference,
    run_stop,
    sequential,
)
from agentgym.reliability.sequential import SequentialTest
from agentgym.reliability.simulated import (
    before_after,
    certified_looks,
    many_scenarios,
    selftest,
)
from agentgym.reliability.simulated.selftest import gates, margin


def test_promises_are_kept(capsys):
    assert main(["selftest", "--runs", "200"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("200 simulated runs")
    assert any("74 sequentially" in line for line in said)
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


def test_a_run_that_forgets_what_is_not_played_is_found_out(capsys, monkeypatch):
    """It fails a run of 95 % because its first scenario is below."""
    monkeypatch.setattr(
        run_stop, "mean_verdict", lambda counts, limit, _: mean_verdict(counts, limit)
    )
    assert main(["selftest", "--runs", "200"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN: a run of 5 scenarios: UNRELIABLE" in said
    assert "BROKEN: certified, sequential" not in said


def test_a_run_whose_mean_is_not_bounded_is_found_out(capsys, monkeypatch):
    def lenient(counts, limit, alpha=0.05):
        return mean_verdict(counts, limit - 0.03, alpha=alpha)

    monkeypatch.setattr(selftest, "mean_verdict", lenient)
    assert main(["selftest", "--runs", "200"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN: a run of 5 scenarios: RELIABLE" in said
    assert "BROKEN: a run of 5 scenarios: a wrong interval" in said


def test_a_tolerant_gate_that_is_not_corrected_is_found_out(monkeypatch):
    """At 5 % each, 18 scenarios of 95 % would fail half of the runs."""
    assert many_scenarios.many_scenarios(1000)[1] == []

    def alone(judged, alpha):
        return [one.verdict for one in judged]

    monkeypatch.setattr(many_scenarios, "holm", alone)
    broken = many_scenarios.many_scenarios(1000)[1]
    assert any(text.startswith("BROKEN: tolerant gate, 18") for text in broken)


def test_a_wrong_chance_of_the_point_gate_is_found_out(monkeypatch):
    monkeypatch.setattr(many_scenarios, "point_alarm", lambda scenarios, true: 0.4)
    broken = many_scenarios.many_scenarios(1000)[1]
    assert any("computed 40.00%" in text for text in broken)


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
    """What is shipped, as it is shipped: about a minute."""
    assert main(["selftest"]) == 0
    said = capsys.readouterr().out
    assert "10,000 simulated runs" in said
    assert said.count("a run of 5 scenarios") == 5
    assert "every promise was kept" in said


def test_an_interval_that_takes_repeats_for_cases_is_found_out(monkeypatch):
    assert before_after.before_after(100)[1] == []

    def naive(strata, confidence=0.95):
        pairs = [pair for cases in strata for case in cases for pair in case]
        return paired_difference([b for b, _ in pairs], [a for _, a in pairs])

    monkeypatch.setattr(before_after, "paired_over_cases", naive)
    broken = before_after.before_after(100)[1]
    assert any("most cases learned: a wrong interval" in text for text in broken)


def test_looks_that_are_not_corrected_are_found_out(monkeypatch):
    assert certified_looks.certified_looks()[1] == []
    monkeypatch.setattr("agentgym.reliability.looks.alpha_of", lambda look: 0.05)
    broken = certified_looks.certified_looks()[1]
    assert any("a false certificate in" in text for text in broken)


def test_the_true_differences_are_those_of_the_kinds():
    random = Random(1)
    for kind, truth in before_after.KINDS.values():
        drawn = (kind(random) for _ in range(100_000))
        found = fmean(after - before for before, after in drawn)
        assert found == pytest.approx(truth, abs=5e-3)
