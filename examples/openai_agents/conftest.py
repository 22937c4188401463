"""Measures the assistant of bank.py: all of its agents are redirected together."""

import pytest
from bank import Bank, make_assistant

import agentgym


@pytest.fixture
def bank(case):
    rng = case.rng
    # Held-out cases have amounts and card numbers that no train case has.
    odd = case.split == "held_out"
    debit, credit = (rng.randrange(1000 + odd, 9999, 2) for _ in range(2))
    return Bank(
        {"checking": rng.randrange(300 + odd, 900, 2), "savings": rng.randint(10, 90)},
        {"debit": str(debit), "credit": str(credit)},
    )


@pytest.fixture
def agent(policy, bank):
    return agentgym.redirect(make_assistant(bank), policy)
