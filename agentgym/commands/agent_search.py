"""Finds the agents of a project in its source, without importing anything."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = frozenset(
    {"__pycache__", "build", "dist", "docs", "node_modules", "site-packages", "tests"}
)
_MOST_FILES = 5000
_MAKERS = {
    # Where it is imported from, what makes an agent, and the extra that knows it.
    "langchain": (("create_agent",), "langchain"),
    "langgraph": (("create_react_agent", "StateGraph"), "langchain"),
    "crewai": (("Crew", "Agent"), "crewai"),
    "autogen_agentchat": (
        ("AssistantAgent", "RoundRobinGroupChat", "SelectorGroupChat", "Swarm"),
        "autogen",
    ),
    "agents": (("Agent",), "openai-agents"),
    "pydantic_ai": (("Agent",), "pydantic-ai"),
    "ag2": (("Agent",), "ag2"),
    "agent_framework": (("Agent", "ChatAgent"), "agent-framework"),
}
_CLIENTS = ("openai", "litellm", "anthropic")
_REPLIES = ("answer", "ask", "chat", "handle", "reply", "respond", "run", "run_agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAgent:
    """What in a project may be its agent.

    Attributes:
        module: As it is imported, such as "shop.support".
        name: Of the object, or of the function.
        kind: "object", "factory" for a function that makes one, or "function" for one
            that answers a message.
        needs: Arguments of a factory that have no default.
        extra: The extra of agentgym that knows its framework; empty for a function.
        place: File and line.
        folder: What has to be on the path for the module.
        tools: Names of its tools, as far as they are written out.
    """

    module: str
    name: str
    kind: str
    needs: tuple[str, ...]
    extra: str
    place: str
    folder: Path
    tools: tuple[str, ...]

    @property
    def ref(self) -> str:
        """How it is named on the command line."""
        return f"{self.module}:{self.name}"


_LIKELIEST = ("object", "factory", "function")


def find_agents(root: Path) -> list[FoundAgent]:
    """The agents of a project, the likeliest first.

    Args:
        root: The project's folder.
    """
    found = [agent for file in _files(root) for agent in _of_file(file, root)]
    return sorted(found, key=lambda agent: _LIKELIEST.index(agent.kind))


def _files(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith(("test_", "conftest")):
                count += 1
                if count > _MOST_FILES:
                    return
                yield here / name


def _of_file(file: Path, root: Path) -> Iterator[FoundAgent]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    makers, talks = _imports(tree)
    if not makers and not talks:
        return
    module, folder = _module(file, root)

    def made(
        node: ast.stmt,
        name: str,
        kind: str,
        call: ast.Call | None,
        needs: tuple[str, ...] = (),
    ) -> FoundAgent:
        return FoundAgent(
            module=module,
            name=name,
            kind=kind,
            needs=needs,
            extra=makers[_maker(call, makers) or ""] if call else "",
            place=f"{file.relative_to(root)}:{node.lineno}",
            folder=folder,
            tools=_tools(call),
        )

    used = {
        part.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for part in ast.walk(node.value)
        if isinstance(part, ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            call = _making(node.value, makers)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                # One that another is made of, as a crew's agent or a hand-off's.
                if call and isinstance(target, ast.Name) and target.id not in used:
                    yield made(node, target.id, "object", call)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            returned = [
                each.value for each in ast.walk(node) if isinstance(each, ast.Return)
            ]
            calls = [_making(value, makers, node) for value in returned]
            call = next((call for call in calls if call), None)
            needs = _needs(node)
            if call and isinstance(node, ast.FunctionDef):
                yield made(node, node.name, "factory", call, needs)
            elif not call and talks and node.name in _REPLIES and len(needs) == 1:
                yield made(node, node.name, "function", None)


def _imports(tree: ast.Module) -> tuple[dict[str, str], bool]:
    """What in a file makes agents, with its extra; whether it asks models itself."""
    makers: dict[str, str] = {}
    talks = False
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            top = node.module.partition(".")[0]
            talks |= top in _CLIENTS
            names, extra = _MAKERS.get(top, ((), ""))
            for alias in node.names:
                if alias.name in names:
                    makers[alias.asname or alias.name] = extra
        elif isinstance(node, ast.Import):
            for alias in node.names:
                talks |= alias.name.partition(".")[0] in _CLIENTS
    return makers, talks


def _making(
    value: ast.expr | None, makers: dict[str, str], within: ast.AST | None = None
) -> ast.Call | None:
    """The call that makes an agent, if the expression is one or names one.

    Args:
        value: The expression.
        makers: Names of what makes agents.
        within: The function in which a name was given to it.
    """
    if isinstance(value, ast.Name) and within is not None:
        assigned = [
            node.value
            for node in ast.walk(within)
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets)
        ]
        return next(filter(None, (_making(each, makers) for each in assigned)), None)
    if not isinstance(value, ast.Call):
        return None
    if isinstance(value.func, ast.Attribute):
        # `StateGraph(...).compile()`, `create_agent(...).bind(...)`
        if value.func.attr in ("compile", "bind", "with_config"):
            inner = value.func.value
            if isinstance(inner, ast.Call):
                return _making(inner, makers, within)
            if value.func.attr == "compile" and "StateGraph" in makers:
                return ast.Call(ast.Name("StateGraph", ast.Load()), [], [])
        return None
    return value if _maker(value, makers) else None


def _maker(call: ast.Call, makers: dict[str, str]) -> str | None:
    name = call.func.id if isinstance(call.func, ast.Name) else None
    return name if name in makers else None


def _needs(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = positional[: len(positional) - len(arguments.defaults)]
    keyword = [
        each
        for each, default in zip(
            arguments.kwonlyargs, arguments.kw_defaults, strict=True
        )
        if default is None
    ]
    return tuple(each.arg for each in (*needed, *keyword))


def _tools(call: ast.Call | None) -> tuple[str, ...]:
    if call is None:
        return ()
    lists = [word.value for word in call.keywords if word.arg == "tools"]
    lists += call.args[1:2]
    return tuple(
        each.attr if isinstance(each, ast.Attribute) else each.id
        for found in lists
        if isinstance(found, ast.List)
        for each in found.elts
        if isinstance(each, ast.Attribute | ast.Name)
    )


def _module(file: Path, root: Path) -> tuple[str, Path]:
    """How a file is imported, and from which folder."""
    parts = [file.stem] if file.stem != "__init__" else []
    folder = file.parent
    while (folder / "__init__.py").exists() and folder != root:
        parts.insert(0, folder.name)
        folder = folder.parent
    if folder != root and folder.name not in ("src", "lib") and folder.parent == root:
        # A folder of modules without __init__.py is a package, too.
        parts.insert(0, folder.name)
        folder = root
    return ".".join(parts), folder
