"""Which framework an agent is of, without importing any."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.integrations.answering.client_watch import CLIENTS, watch_clients
from agentgym.integrations.callables import FunctionDriver
from agentgym.integrations.protocol import WrappedAgent
from agentgym.recording.plain import printed, shorten

if TYPE_CHECKING:
    from agentgym.endpoint import PolicyEndpoint


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework and how its agents are recognised.

    Attributes:
        name: As its makers write it.
        module: What knows it here; it has `driver(agent)`, `watch()`, which lets its
            agents be seen within the runs of others, and `TESTED`.
        package: The distribution whose version counts.
        classes: By `package.Name`, whichever module of the package has it: the classes
            that are agents, and what they are.
        marker: What the package must have, where a user's own may be called the same.
        runs: The methods that run an agent: a `functools.partial` of one is an agent
            with the options of its runs.
    """

    name: str
    module: str
    package: str
    classes: dict[str, str]
    marker: str = ""
    runs: tuple[str, ...] = ()


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
    Framework("AG2", "ag2", "ag2", {"ag2.Agent": "an AG2 agent"}, runs=("ask",)),
    Framework(
        "Agent Framework",
        "agent_framework",
        "agent-framework-core",
        {
            "agent_framework.BaseAgent": "a Microsoft Agent Framework agent",
            "agent_framework.Workflow": "a Microsoft Agent Framework workflow",
        },
        runs=("run",),
    ),
    Framework(
        "OpenAI Agents SDK",
        "openai_agents",
        "openai-agents",
        {"agents.AgentBase": "an agent of the OpenAI Agents SDK"},
        marker="RunHooks",
        runs=("run", "run_sync"),
    ),
    Framework(
        "Pydantic AI",
        "pydantic_ai",
        "pydantic-ai-slim",
        {"pydantic_ai.AbstractAgent": "a Pydantic AI agent"},
        runs=("run", "run_sync"),
    ),
)


def wrap(agent: Any) -> WrappedAgent:
    """Makes an agent of any known kind one that a scenario can run.

    Args:
        agent: An agent, graph, crew or team of a framework, a `functools.partial` of
            what runs one, an object with `run(message)`, or any callable
            `message -> reply`, sync or async.

    Returns:
        The agent behind `run`; its `recognised` says as what it was recognised.

    Raises:
        UsageError: It is none of these.
    """
    if isinstance(agent, WrappedAgent):
        return agent
    _watch_imports()
    own = _bases(agent)
    if "autogen.ConversableAgent" in own:
        raise UsageError(
            "AG2 before 1.0 is not supported: update to ag2 1.x, or give a callable "
            "message -> reply"
        )
    has_options = isinstance(agent, functools.partial)
    for framework in FRAMEWORKS:
        # Agents are made for each episode: what is not of it is passed by at once.
        if not has_options and framework.classes.keys().isdisjoint(own):
            continue
        inner, options = _with_options(agent, framework)
        kind = _kind(own if inner is agent else _bases(inner), framework)
        if kind is not None:
            module = _watched(framework)
            _check_version(framework, module.TESTED)
            driver = module.driver(inner, **options)
            return WrappedAgent(inner, driver, kind, framework.module)
    _refuse_unknown(agent)
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


_AROUND = {
    "llama_index.": (
        "a LlamaIndex agent",
        "async def ask(message): return str(await agent.run(message))",
    ),
    "google.adk.": (
        "an agent of Google ADK",
        "a coroutine that reads runner.run_async(...) to its final response",
    ),
    "crewai.flow.": (
        "a CrewAI flow",
        "lambda message: flow.kickoff(inputs={'message': message})",
    ),
}
"""By the beginning of a module's name: what has no `run(message)`, and what has."""


def _refuse_unknown(agent: Any) -> None:
    """Raises a sentence for agents of frameworks that take more than a message."""
    mro = () if inspect.isclass(agent) else type(agent).__mro__
    modules = "".join([f" {cls.__module__}." for cls in mro])
    for name, (kind, function) in _AROUND.items():
        if f" {name}" in modules:
            raise UsageError(
                f"{kind} is given by a function around it: {function}; "
                "docs/how-to/frameworks says how its models and tools are seen"
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


def _with_options(agent: Any, framework: Framework) -> tuple[Any, dict[str, Any]]:
    """The agent whose run was given options, if it was, and these."""
    run = agent.func if isinstance(agent, functools.partial) else None
    owner = getattr(run, "__self__", None)
    if owner is None or getattr(run, "__name__", None) not in framework.runs:
        return agent, {}
    # `Runner.run` takes the agent as its first argument.
    held = [*agent.args, agent.keywords.get("starting_agent")]
    inner = held[0] if inspect.isclass(owner) else owner
    if len(agent.args) > (inner is held[0]):
        return agent, {}
    given = dict(agent.keywords)
    given.pop("starting_agent", None)
    return inner, {"options": given} if given else {}


_watching: set[str] = set()
_lock = threading.Lock()


@functools.cache
def _watch_imports() -> None:
    """Watches every framework once it is there: an agent may use one inside."""
    for package in CLIENTS:
        _when_imported(package, watch_clients)
    for framework in FRAMEWORKS:
        for package in {name.partition(".")[0] for name in framework.classes}:
            _when_imported(package, functools.partial(_watched, framework))


def _watched(framework: Framework) -> Any:
    """The module that knows the framework, whose agents it watches from now on."""
    # Not by name in a table of functions: each import costs up to seconds. Not within
    # the lock: whoever waits for it may be importing the framework.
    module = importlib.import_module(f"{__package__}.{framework.module}")
    with _lock:
        if framework.module not in _watching:
            _watching.add(framework.module)
            module.watch()
    return module


def _kind(bases: Sequence[str], framework: Framework) -> str | None:
    """What an agent of these classes is in this framework; None if of another one."""
    for name, kind in framework.classes.items():
        if name in bases and (
            not framework.marker
            or hasattr(sys.modules.get(name.partition(".")[0]), framework.marker)
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


# What is imported later: nothing here imports a framework itself.


def _when_imported(package: str, action: Callable[[], object]) -> None:
    """Calls an action as soon as a package is there, perhaps now.

    Args:
        package: A top-level one.
        action: What it raises is swallowed: the import is somebody else's, and a
            package of another version, or of another name's owner, is none of ours.
    """
    module = sys.modules.get(package)
    if module is not None and not _is_being_imported(module):
        _try(action)
        return
    _finder.actions[package] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _try(action: Callable[[], object]) -> None:
    with suppress(Exception):
        action()


class _Finder:
    """Lets others find the packages, and acts after they have been executed."""

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[], object]] = {}
        self._asking = threading.local()

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of a package that is waited for; None of all others.

        Args:
            name: Of the module.
            path: Of its package; not needed.
            target: What is reloaded; not needed.
        """
        if name not in self.actions or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.now = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, name)
        return spec

    def _follow(self, loader: Any, name: str) -> None:
        own = loader.exec_module

        @functools.wraps(own)
        def exec_module(module: ModuleType) -> None:
            own(module)
            action = self.actions.pop(name, None)
            if action is not None:
                _try(action)

        # Not another loader: resources are read by this very one.
        with suppress(AttributeError):
            loader.exec_module = exec_module


_finder = _Finder()
