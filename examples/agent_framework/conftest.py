"""Measures the engineer of on_call.py, which is redirected as it is."""

import os

import pytest

import agentgym

# The agent makes its OpenAI client itself. It is never asked.
os.environ.setdefault("OPENAI_API_KEY", "unused")

from on_call import Cluster, make_engineer

SERVICES = {
    "train": ["checkout", "search", "login", "mail", "basket", "prices"],
    "held_out": ["billing", "reviews", "images"],
}


@pytest.fixture
def service(case):
    """The one that people complain about."""
    return case.rng.choice(SERVICES[case.split])


@pytest.fixture
def version(case):
    # Held-out cases have odd ones.
    return f"v{2 * case.rng.randrange(100, 999) + (case.split == 'held_out')}"


@pytest.fixture
def cluster(case):
    """All services are well: a scenario breaks what it is about."""
    return Cluster(dict.fromkeys(SERVICES[case.split], "INFO all is well"))


@pytest.fixture
def agent(policy, cluster):
    return agentgym.redirect(make_engineer(cluster), policy)
