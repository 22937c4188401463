"""The fixtures that scenarios may ask for: case, policy, agent, environment."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.errors import UsageError
from agentgym.integrations.shipped import NEEDS_LANGCHAIN, create_langchain_agent
from pytest_agentgym.collect.isolation import EpisodeRequest

if TYPE_CHECKING:
    import httpx

    from agentgym.endpoint import PolicyEndpoint
    from agentgym.scenarios.cases import Case


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The case of this episode: index, seed, split, value, rng."""
    return _episode(request, "case").case


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Any:
    """What the `Scenario` class's `create_environment()` made for this episode."""
    return _episode(request, "environment")._world.environment()


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> PolicyEndpoint:
    """Where the agent reaches its model: `base_url`, `api_key`, `model`."""
    from pytest_agentgym.collect.policy import POLICY, POLICY_ASKED

    request.node.stash[POLICY_ASKED] = True
    # To mypy nothing can be both.
    asked_by: Any = request
    if isinstance(asked_by, EpisodeRequest):
        return asked_by.policy
    return request.config.stash[POLICY].endpoint()


@pytest.fixture
def policy_environment(
    request: pytest.FixtureRequest, policy: PolicyEndpoint
) -> Iterator[PolicyEndpoint]:
    """Sets OPENAI_BASE_URL and OPENAI_API_KEY to the policy's, during one episode.

    For agents that build their client inside, and name a model of their own: agentgym's
    server answers whatever the name. The environment is the whole process's,
    so the episodes of such scenarios run one at a time; `-n` gives more processes.

    Args:
        request: Has the run's policy, which knows the address for any model's name.
        policy: Where the episode's agent reaches its model.
    """
    from pytest_agentgym.collect.policy import POLICY

    url = request.config.stash[POLICY].any_model_url(policy)
    wanted = {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_BASE": url,
        "OPENAI_API_KEY": policy.api_key,
        "OPENAI_MODEL": policy.model,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    yield policy
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def instructions() -> str:
    """System prompt of the shipped agent; override it in conftest.py."""
    return "You are a helpful assistant."


@pytest.fixture(scope="session")
def agentgym_http_client() -> Iterator[httpx.Client]:
    """What the shipped agents share: a client of its own would cost each one 10 ms."""
    try:
        import httpx
    except ImportError:
        raise UsageError(NEEDS_LANGCHAIN) from None

    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    with httpx.Client(limits=limits) as client:
        yield client


@pytest.fixture
def agent(
    request: pytest.FixtureRequest,
    policy: PolicyEndpoint,
    instructions: str,
    agentgym_http_client: httpx.Client,
) -> Any:
    """The shipped agent: LangChain's `create_agent` on the policy and your `tools`.

    Override it in conftest.py with a fixture that returns your own agent.

    Args:
        request: Finds the `tools` fixture, and says whether the scenario is async.
        policy: Where the agent reaches its model.
        instructions: The system prompt.
        agentgym_http_client: For sync calls; the whole session shares it.
    """
    # Asked for by name: who brings an agent of their own needs no `tools` fixture.
    tools = request.getfixturevalue("tools")
    async_client = None
    if inspect.iscoroutinefunction(request.function):
        import httpx

        # Its connections belong to one event loop, and each item has its own. After a
        # `yield` in this sync fixture nobody would await the closing.
        async_client = httpx.AsyncClient(verify=policy.base_url.startswith("https"))
        request.addfinalizer(async_client.aclose)  # noqa: PT021
    return create_langchain_agent(
        policy,
        tools,
        instructions,
        client=agentgym_http_client,
        async_client=async_client,
    )


def _episode(request: Any, name: str) -> EpisodeRequest:
    if not isinstance(request, EpisodeRequest):
        raise UsageError(
            f"the fixture {name!r} belongs to one episode: only scenarios and "
            "function-scoped fixtures can use it, with pytest --agentgym"
        )
    return request
