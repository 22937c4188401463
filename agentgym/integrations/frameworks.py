"""Which framework an agent is of, without importing any."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.integrations.callables import FunctionDriver
from agentgym.integrations.protocol import WrappedAgent
from agentgym.recording.trajectory import printed, shorten

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework and how its agents are recognised.

    Attributes:
        name: As its makers write it.
        module: What knows it here; it has `driver(agent)` and `TESTED`.
        package: The distribution whose version counts.
        classes: By `package.Name`, whichever module of the package has it: the classes
            that are agents, and what they are.
        marker: What the package must have, where a user's own may be called the same.
    """

    name: str
    module: str
    package: str
    classes: dict[str, str]
    marker: str = ""


FRAMEWORKS = (
    Framework(
        "LangChain",
        "langchain",
        "langchain-core",
        {
            "langgraph.Pregel": "a LangGraph graph",
            "langchain_core.Runnable": "a LangChain runnable",
        },
    ),
    Framework(
        "CrewAI",
        "crewai",
        "crewai",
        {"crewai.Crew": "a CrewAI crew", "crewai.BaseAgent": "a CrewAI agent"},
    ),
    Framework(
        "AutoGen",
        "autogen",
        "autogen-agentchat",
        {
            "autogen_agentchat.BaseGroupChat": "an AutoGen team",
            "autogen_agentchat.BaseChatAgent": "an AutoGen agent",
        },
    ),
    Framework("AG2", "ag2", "ag2", {"ag2.Agent": "an AG2 agent"}),
    Framework(
        "Agent Framework",
        "agent_framework",
        "agent-framework-core",
        {
            "agent_framework.BaseAgent": "a Microsoft Agent Framework agent",
            "agent_framework.Workflow": "a Microsoft Agent Framework workflow",
        },
    ),
    Framework(
        "OpenAI Agents SDK",
        "openai_agents",
        "openai-agents",
        {"agents.AgentBase": "an agent of the OpenAI Agents SDK"},
        marker="RunHooks",
    ),
    Framework(
        "Pydantic AI",
        "pydantic_ai",
        "pydantic-ai-slim",
        {"pydantic_ai.AbstractAgent": "a Pydantic AI agent"},
    ),
)


def wrap(agent: Any) -> WrappedAgent:
    """Makes an agent of any known kind one that a scenario can run.

    Args:
        agent: An agent, graph, crew or team of a framework, an object with
            `run(message)`, or any callable `message -> reply`, sync or async.

    Returns:
        The agent behind `run`; its `recognised` says as what it was recognised.

    Raises:
        UsageError: It is none of these.
    """
    if isinstance(agent, WrappedAgent):
        return agent
    if "autogen.ConversableAgent" in _bases(agent):
        raise UsageError(
            "AG2 before 1.0 is not supported: update to ag2 1.x, or give a callable "
            "message -> reply"
        )
    for framework in FRAMEWORKS:
        kind = _kind(agent, framework)
        if kind is not None:
            # Not by name in a table of functions: each import costs up to seconds.
            module = importlib.import_module(f"{__package__}.{framework.module}")
            _check_version(framework, module.TESTED)
            return WrappedAgent(agent, module.driver(agent), kind)
    if not inspect.isclass(agent):
        run = getattr(agent, "run", None)
        if callable(run):
            kind = f"{type(agent).__name__}.run(message)"
            return WrappedAgent(agent, FunctionDriver(run, kind), kind)
        if callable(agent):
            name = getattr(agent, "__name__", type(agent).__name__)
            kind = f"the function {name}"
            return WrappedAgent(agent, FunctionDriver(agent, kind), kind)
    if agent is None:
        given = "None"
    elif inspect.isclass(agent):
        given = f"the class {agent.__name__}"
    else:
        given = f"{type(agent).__name__}: {shorten(printed(agent), 80)}"
    names = ", ".join(framework.name for framework in FRAMEWORKS)
    raise UsageError(
        f"{given} is no agent: give an agent of {names}, an object with "
        "run(message) -> reply, or a callable message -> reply"
    )


def redirect(agent: Any, policy: PolicyEndpoint) -> WrappedAgent:
    """Lets an existing agent ask the policy instead of its own model.

    The agent itself keeps its model: only what it does in a scenario is redirected, so
    that episodes that run at a time, each with a policy endpoint of its own, can share
    it. Its settings, such as the temperature, stay.

    Args:
        agent: An agent of a framework, or one that `wrap` returned.
        policy: What the `policy` fixture gave.

    Returns:
        The wrapped agent, for the `agent` fixture.

    Raises:
        UsageError: It is no agent, its model cannot be redirected, or the policy is
            none.
    """
    if not all(hasattr(policy, name) for name in ("base_url", "api_key", "model")):
        raise UsageError(
            f"redirect(agent, {shorten(printed(policy), 60)}): give what the `policy` "
            "fixture is, or an agentgym.PolicyEndpoint"
        )
    wrapped = wrap(agent)
    wrapped.redirect(policy)
    return wrapped


def _kind(agent: Any, framework: Framework) -> str | None:
    """What the agent is in this framework; None if it is of another one."""
    bases = _bases(agent)
    for name, kind in framework.classes.items():
        package = sys.modules.get(name.partition(".")[0])
        if name in bases and (
            not framework.marker or hasattr(package, framework.marker)
        ):
            return kind
    return None


def _bases(agent: Any) -> list[str]:
    """The classes of an object, each as `package.Name`."""
    mro = () if inspect.isclass(agent) else type(agent).__mro__
    return [f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in mro]


_warned: set[str] = set()


def _check_version(framework: Framework, tested: tuple[str, str]) -> None:
    """Warns, once, of a version that is older or newer than the tested ones."""
    if framework.module in _warned:
        return
    _warned.add(framework.module)
    try:
        installed = importlib.metadata.version(framework.package)
    except importlib.metadata.PackageNotFoundError:
        return
    oldest, newest = tested
    # A newer patch is what a user should have.
    if _release(oldest) <= _release(installed) and (
        _release(installed)[:2] <= _release(newest)[:2]
    ):
        return
    warnings.warn(
        f"{framework.package} {installed} was not tested with agentgym "
        f"({oldest} to {newest} were)",
        stacklevel=4,
    )


def _release(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)
