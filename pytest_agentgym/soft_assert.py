"""Makes the asserts of scenario files checks: a finder of our own and an AST pass.

pytest's own rewriting hook is neither patched nor asked: the two would share cached
files. A scenario file is read here, its checks are wrapped in try/except, and then
pytest's `rewrite_asserts` gives every assert its introspection, as usual.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

import agentgym
from agentgym.checks import CheckSpec, Judge
from agentgym.source import FoundFunction, find_functions

# Names that no source can contain, as pytest's own rewriting uses them.
_JUDGES, _JUDGE = "@agentgym_judges", "@agentgym_judge"
_EXCEPTION, _ERROR = "@agentgym_exception", "@agentgym_error"
_MENTION = re.compile(rb"^\s*(from|import)\s[^\n]*\bagentgym\b", re.MULTILINE)
_USES = re.compile(rb"\b(scenario|Scenario|rubric)\b")

SpecRows = list[list[tuple[Any, ...]]]


def instrument(tree: ast.Module, path: str) -> list[list[CheckSpec]]:
    """Wraps the checks of a module in place.

    Args:
        tree: The module's syntax tree.
        path: Its file, for messages.

    Returns:
        The checks of each function that has any, as its judge needs them.
    """
    functions = find_functions(tree, path)
    for number, function in enumerate(functions):
        _instrument_function(function, number)
    return [[found.spec for found in function.asserts] for function in functions]


def _instrument_function(function: FoundFunction, number: int) -> None:
    node = function.node
    chosen = {id(found.node): found.spec.id for found in function.asserts}
    for found in function.asserts:
        if found.annotated:
            found.node.msg = None
    wrapper = _Wrapper(chosen)
    body = [wrapper.visit(statement) for statement in node.body]
    judge = ast.Subscript(_load(_JUDGES), ast.Constant(number), ast.Load())
    first = [
        ast.Assign([ast.Name(_JUDGE, ast.Store())], judge),
        _call(_JUDGE, "enter"),
    ]
    for statement in first:
        _locate(statement, node.body[0])
    has_docstring = ast.get_docstring(node, clean=False) is not None
    body[has_docstring:has_docstring] = first
    node.body = body
    mark = ast.Attribute(
        ast.Subscript(_load(_JUDGES), ast.Constant(number), ast.Load()),
        "mark",
        ast.Load(),
    )
    _locate(mark, node)
    node.decorator_list.append(mark)


class _Wrapper(ast.NodeTransformer):
    """Replaces each chosen assert by one whose result a judge is told."""

    def __init__(self, chosen: dict[int, int]) -> None:
        self.chosen = chosen

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        index = self.chosen.get(id(node))
        if index is None:
            return node
        failed = _call(_JUDGE, "failed", ast.Constant(index), _load(_ERROR))
        handler = ast.ExceptHandler(_load(_EXCEPTION), _ERROR, [failed])
        passed = _call(_JUDGE, "passed", ast.Constant(index))
        block = ast.Try([], [handler], [passed], [])
        _locate(block, node)
        block.body = [node]
        return block


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(name: str, method: str, *arguments: ast.expr) -> ast.Expr:
    function = ast.Attribute(_load(name), method, ast.Load())
    return ast.Expr(ast.Call(function, list(arguments), []))


def _locate(made: ast.AST, original: ast.AST) -> None:
    for part in ast.walk(made):
        ast.copy_location(part, original)
        # Of an attribute that spans lines Python traces the last one: for a decorator
        # that is the function's, and coverage would count it as run.
        if hasattr(part, "lineno"):
            part.end_lineno, part.end_col_offset = part.lineno, part.col_offset


class SoftAssertFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports scenario files; every other file is left to the finders after it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._introspect = config.getoption("assertmode") == "rewrite"
        self._finding = False

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Claims the module if its file is a scenario file."""
        if name.rpartition(".")[2] == "conftest" or self._finding:
            return None
        self._finding = True
        try:
            spec = importlib.machinery.PathFinder.find_spec(name, path)
        finally:
            self._finding = False
        if (
            spec is None
            or spec.origin is None
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
            or not is_scenario_file(Path(spec.origin), self._config.rootpath)
        ):
            return None
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=self,
            submodule_search_locations=spec.submodule_search_locations,
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leaves the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code with its judges in reach."""
        path = Path(str(module.__file__))
        code, rows = self._cached(path) or self._compile(path)
        specs = [[CheckSpec(**dict(row)) for row in function] for function in rows]
        module.__dict__[_JUDGES] = [Judge(function) for function in specs]
        module.__dict__[_EXCEPTION] = builtins.Exception
        exec(code, module.__dict__)  # noqa: S102 - this is how modules are run

    def get_source(self, fullname: str) -> str | None:
        """The module's source, for tracebacks and debuggers."""
        module = sys.modules.get(fullname)
        return Path(str(module.__file__)).read_text() if module else None

    def _compile(self, path: Path) -> tuple[CodeType, SpecRows]:
        stamp = _stamp(path)
        source = path.read_bytes()
        tree = ast.parse(source, filename=str(path))
        specs = instrument(tree, str(path))
        if self._introspect:
            rewrite_asserts(tree, source, str(path), self._config)
        code: CodeType = compile(tree, str(path), "exec", dont_inherit=True)
        rows = [
            [tuple((f, getattr(spec, f)) for f in CheckSpec.__slots__) for spec in each]
            for each in specs
        ]
        if not sys.dont_write_bytecode:
            _write(self._cache_path(path), marshal.dumps((stamp, code, rows)))
        return code, rows

    def _cached(self, path: Path) -> tuple[CodeType, SpecRows] | None:
        try:
            stamp, code, rows = marshal.loads(  # noqa: S302 - our own file
                self._cache_path(path).read_bytes()
            )
        except (OSError, EOFError, ValueError, TypeError):
            return None
        fresh = stamp == _stamp(path) and isinstance(code, CodeType)
        return (code, rows) if fresh else None

    def _cache_path(self, path: Path) -> Path:
        mode = "checks" if self._introspect else "plain"
        tag = f"{sys.implementation.cache_tag}-pytest-{pytest.__version__}"
        name = f"{path.stem}.agentgym-{agentgym.__version__}-{mode}-{tag}.pyc"
        cached = importlib.util.cache_from_source(str(path))
        return Path(cached).with_name(name)


def is_scenario_file(path: Path, root: Path) -> bool:
    """Whether the asserts of this file may be checks; reads the file's text."""
    if "site-packages" in path.parts or not _is_below(path, root):
        return False
    try:
        source = path.read_bytes()
    except OSError:
        return False
    return bool(_MENTION.search(source) and _USES.search(source))


def install(config: pytest.Config) -> SoftAssertFinder:
    """Puts the finder before pytest's own."""
    finder = SoftAssertFinder(config)
    sys.meta_path.insert(0, finder)
    return finder


def uninstall() -> None:
    """Takes the finder away."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, SoftAssertFinder)]


def _is_below(path: Path, root: Path) -> bool:
    # A file outside the root directory is collected when it is named explicitly; the
    # library itself is never one.
    own = Path(agentgym.__file__).parent
    return not path.is_relative_to(own) and (
        path.is_relative_to(root) or path.name.startswith("test")
    )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _write(path: Path, data: bytes) -> None:
    """Writes the cache atomically; where that is impossible there is none."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
