"""The tree itself: where lines belong, which way imports go, what names mean."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

import agentgym
import pytest_agentgym

PACKAGES = [Path(module.__file__).parent for module in (agentgym, pytest_agentgym)]
ROOT = PACKAGES[0].parent

MOST_MODULES = 15
FACE = {"endpoint", "errors", "exit_code", "distribution", "runner", "testing"}
"""What may lie loose at the root of `agentgym`, beside the folders."""

REPEATED_MODULES = {
    "episodes": "the episodes of an item, and those of the HTML report",
    "messages": "what turns messages of one protocol into those of another",
    "otel": "the export of spans, and when the plugin does it",
    "options": "the options of a feature, beside the feature",
    "play": "the playing of an episode, and pytest's part in it",
    "policy": "the model behind an agent, and its fixture",
    "reporter": "pytest's word for what writes on its terminal",
    "rollout": "an episode of a training, here and on a cluster",
    "runner": "who plays rollouts; `agentgym.runner` is documented by its name",
    "simulators": "judges and simulated users, as fixtures and in the report",
    "stage": "the protocol, and pytest's implementation of it",
    "training": "the training of a policy, the plugin's part in it, and its report",
}
"""Names of modules and folders that stand more than once, and their one meaning."""

REPEATED_CLASSES = {
    "Episode": "Agent Lightning finds `agentgym.runner:Episode` by its documented name",
    "_Log": "each keeps the log of one library from the terminal",
}
"""Names of classes that stand twice, and why they may."""

Graph = Mapping[str, set[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


# What the tests look at.


@cache
def modules() -> dict[str, Path]:
    """All modules of both packages by their dotted names; a package is a module."""
    return {
        name_of(path): path
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
    }


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, tree: ast.AST, *, is_package: bool) -> Iterator[str]:
    """What a module imports anywhere: at its top, in functions, for type checking.

    A name from a package is the module of this name, where there is one.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name if is_package else name.rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() else base


@cache
def import_graph() -> dict[str, set[str]]:
    """For each module the modules of ours that it imports."""
    graph = {}
    for name, path in modules().items():
        targets = imported(name, tree_of(path), is_package=path.stem == "__init__")
        graph[name] = {target for target in targets if target in modules()} - {name}
    return graph


def siblings_graph(package: str, graph: Graph) -> dict[str, set[str]]:
    """The imports between a package's own folders and modules, its `__init__` too."""

    def child(name: str) -> str | None:
        if name == package:
            return f"{package}.__init__"
        inside = name.startswith(f"{package}.")
        depth = package.count(".") + 2
        return ".".join(name.split(".")[:depth]) if inside else None

    between: dict[str, set[str]] = defaultdict(set)
    for name, targets in graph.items():
        for target in targets:
            ends = child(name), child(target)
            if None not in ends and ends[0] != ends[1]:
                between[str(ends[0])].add(str(ends[1]))
    return between


def circles(graph: Graph) -> list[list[str]]:
    """The groups of nodes that reach each other, by Tarjan's algorithm."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def shown(circle: list[str], graph: Graph) -> str:
    """A circle, by the imports within it."""
    inside = [
        f"{name} -> {target}"
        for name in circle
        for target in sorted(graph[name])
        if target in circle
    ]
    return "a circle:\n  " + "\n  ".join(inside)


def packages() -> list[str]:
    return [name for name, path in modules().items() if path.stem == "__init__"]


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions and methods that a reader may call: no name with an underscore."""

    def walk(body: Iterable[ast.stmt]) -> Iterator[Function]:
        for node in body:
            if getattr(node, "name", "_").startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body)
            elif isinstance(node, Function):
                yield node

    yield from walk(tree.body)


def parameters(function: Function) -> list[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    every += [each for each in (given.vararg, given.kwarg) if each]
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def undescribed(function: Function) -> list[str]:
    """The parameters that the docstring's Args section should name and does not.

    One parameter needs no section. pytest gives hooks what their names say; an
    override has its section where it was first declared, and what a protocol describes
    is described there.
    """
    names = parameters(function)
    decorators = {ast.unparse(d).split("(")[0] for d in function.decorator_list}
    if (
        len(names) < 2
        or function.name.startswith("pytest_")
        or decorators & {"overload", "override"}
    ):
        return []
    text = ast.get_docstring(function) or ""
    if re.fullmatch(r"See `\w+`\.", text):
        return []
    section = re.search(r"^Args:\n((?: .*\n?|\n)*)", text, re.MULTILINE)
    described = re.findall(r"^ +\*{0,2}(\w+):", section[1], re.M) if section else []
    return [n for n in names if n not in described and not n.startswith("_")]


def repeated(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that stand in more than one place, with the places."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    return {name: where for name, where in places.items() if len(where) > 1}


def listed(found: Mapping[str, list[str]]) -> str:
    return "\n".join(f"{name}: {', '.join(where)}" for name, where in found.items())


# (a) The way of the imports.


def test_no_files_import_each_other_in_a_circle():
    found = [shown(circle, import_graph()) for circle in circles(import_graph())]
    assert not found, "\n".join(found)


def test_no_folders_import_each_other_in_a_circle():
    found = []
    for package in packages():
        graph = siblings_graph(package, import_graph())
        found += [shown(circle, graph) for circle in circles(graph)]
    assert not found, "\n".join(found)


def test_imports_of_every_kind_are_seen():
    source = """
import agentgym.errors
from agentgym.recording import recorder, trajectory as t
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from agentgym.runs.summary import RunSummary
def f():
    from .play import EpisodePlay
    from .. import endpoint
"""
    tree = ast.parse(source)
    targets = set(imported("agentgym.playing.pool", tree, is_package=False))
    assert targets & set(modules()) == {
        "agentgym.errors",
        "agentgym.recording.recorder",
        "agentgym.recording.trajectory",
        "agentgym.runs.summary",
        "agentgym.playing.play",
        "agentgym.endpoint",
    }
    inside = ast.parse("from .play import EpisodePlay\nfrom .. import endpoint")
    assert set(imported("agentgym.playing", inside, is_package=True)) == {
        "agentgym.playing.play",
        "agentgym.endpoint",
    }


def test_circles_are_seen():
    files = {"p.a.x": {"p.b.y"}, "p.b.y": {"p.c"}, "p.b.z": {"p.a.x"}, "p.c": set()}
    assert circles(files) == []
    # No file reaches itself here, but the folders `a` and `b` need each other.
    assert circles(siblings_graph("p", files)) == [["p.a", "p.b"]]
    assert circles(files | {"p.c": {"p.a.x"}}) == [["p.a.x", "p.b.y", "p.c"]]
    two = {"p.a": {"p.b"}, "p.b": {"p.a"}, "p.c": {"p.a", "p.d"}, "p.d": {"p.c"}}
    assert circles(two) == [["p.a", "p.b"], ["p.c", "p.d"]]
    with_init = {"p": {"p.c"}, "p.c": {"p"}}
    assert circles(siblings_graph("p", with_init)) == [["p.__init__", "p.c"]]


def test_each_folder_has_its_order():
    """What `.importlinter` does not name, it does not check."""
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    ordered = {
        contracts[name]["containers"]
        for name in contracts.sections()
        if contracts[name].get("type") == "layers"
        and contracts[name].getboolean("exhaustive")
    }
    children = Counter(name.rpartition(".")[0] for name in modules() if "." in name)
    assert ordered == {folder for folder, count in children.items() if count > 1}


# (b) Folders of a human size.


def test_a_folder_has_few_modules():
    counts = Counter(
        path.parent for path in modules().values() if path.stem != "__init__"
    )
    full = {
        str(folder.relative_to(ROOT)): count
        for folder, count in counts.items()
        if count > MOST_MODULES
    }
    assert full == {}


def test_only_the_librarys_face_lies_at_its_root():
    loose = {path.stem for path in PACKAGES[0].glob("*.py")} - {"__init__"}
    assert loose <= FACE


# (c) Docstrings.


def test_public_functions_describe_their_parameters():
    missing = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {names}"
        for path in modules().values()
        for function in public_functions(tree_of(path))
        if (names := undescribed(function))
    ]
    assert not missing, "\n".join(["Args lack:", *missing])


def test_a_missing_description_is_seen():
    source = '''
def one(a): ...
def _hidden(a, b): ...
class _Hidden:
    def method(self, a, b): ...
class Shown:
    def bare(self, a, b): ...
    def half(self, a, *b, c=1):
        """Does.

        Args:
            a: First
                and more.
            b: Others.

        Returns:
            c: Not an argument's description.
        """
    def whole(self, a, **b):
        """Does.

        Args:
            a: First.
            **b: Others.
        """
    @overload
    def again(self, a, b): ...
async def late(a, b): ...
'''
    functions = public_functions(ast.parse(source))
    missing = {function.name: undescribed(function) for function in functions}
    assert {name: names for name, names in missing.items() if names} == {
        "bare": ["a", "b"],
        "half": ["c"],
        "late": ["a", "b"],
    }


# (d) and (e) One name, one meaning.


def test_no_class_name_stands_twice():
    """But private ones of the integrations: each knows nothing of the others."""
    integrations = PACKAGES[0] / "integrations"
    found = repeated(
        (node.name, str(path.relative_to(ROOT)))
        for path in modules().values()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        and not (path.parent == integrations and node.name.startswith("_"))
    )
    assert found.keys() == REPEATED_CLASSES.keys(), listed(found)


def test_no_module_name_stands_twice():
    found = repeated(
        (name.rpartition(".")[2], str(path.relative_to(ROOT)))
        for name, path in modules().items()
        # A folder's main module may have its name.
        if path.stem not in ("__main__", path.parent.name)
    )
    assert found.keys() == REPEATED_MODULES.keys(), listed(found)


# (f) What the documentation names is there.

_DOTTED = re.compile(r"`((?:pytest_)?agentgym(?:\.(?!yml)\w+)+)[`(:]")
_PATH = re.compile(r"`((?:\w+/)+[\w.-]+\.\w+)`")


def is_bound(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name that a module binds."""
    if dotted in modules():
        return True
    owner, _, name = dotted.rpartition(".")
    while owner not in modules() and "." in owner:
        owner, _, name = owner.rpartition(".")
    if owner == "agentgym" and name in agentgym.__all__:
        return True
    bound = {
        each
        for node in tree_of(modules()[owner]).body
        for each in (
            getattr(node, "name", None),
            *(alias.asname or alias.name for alias in getattr(node, "names", ())),
            *(getattr(target, "id", None) for target in getattr(node, "targets", ())),
        )
    }
    return name in bound


def pages() -> list[Path]:
    found = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    for folder in ("docs", "examples", "benchmarks", "scenarios"):
        found += sorted((ROOT / folder).rglob("*.md"))
    if not found:
        pytest.skip("no checkout")
    return found


def not_there(text: str, folder: Path) -> Iterator[str]:
    """The modules, paths and links of a page in this folder that do not exist."""
    yield from (name for name in _DOTTED.findall(text) if not is_bound(name))
    for path in _PATH.findall(text):
        ours = (ROOT / path.split("/")[0]).is_dir()
        if ours and not ((ROOT / path).exists() or (folder / path).exists()):
            yield path
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        if not (folder / link).exists():
            yield link


def test_names_in_the_pages_exist():
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages()
        for name in not_there(page.read_text(encoding="utf-8"), page.parent)
    ]
    assert not missing, "\n".join(["Not there:", *missing])


def test_a_missing_name_is_seen():
    assert is_bound("agentgym.testing")
    assert is_bound("agentgym.testing.ScriptedModel")
    assert is_bound("agentgym.redirect")
    assert is_bound("agentgym.runner.ENV_MAP")
    assert not is_bound("agentgym.play")
    assert not is_bound("agentgym.testing.Nobody")
    text = """
        In `agentgym.play`, `agentgym.wrap(x)`, `agentgym.yml`, `agentgym/play.py`,
        `agentgym/errors.py`, `runs/<id>/x.json`, [here](errors.py), [gone](gone.md#x).
    """
    assert list(not_there(text, PACKAGES[0])) == [
        "agentgym.play",
        "agentgym/play.py",
        "gone.md",
    ]
