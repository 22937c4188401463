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
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

import agentgym
from agentgym.distribution import __version__
from agentgym.scenarios import source as source_pass
from agentgym.scenarios.checks import CheckSpec, Judge
from agentgym.scenarios.source import FoundFunction, Names, find_functions

# Names that no source can contain, as pytest's own rewriting uses them. Those of the
# module begin with an underscore, or `import *` would hand its judges to another one.
_JUDGES, _EXCEPTION = "_@agentgym_judges", "_@agentgym_exception"
_JUDGE, _ERROR = "@agentgym_judge", "@agentgym_error"
_MENTION = re.compile(rb"^\s*(from|import)\s[^\n]*\bagentgym\b", re.MULTILINE)
_MAKERS = ("scenario", "Scenario", "rubric")
_USES = re.compile(rb"\b(scenario|Scenario|rubric)\b")
_INSTALLED = frozenset({"site-packages", "dist-packages"})

Specs = list[list[CheckSpec]]


def instrument(tree: ast.Module, path: str) -> Specs:
    """Wraps the checks of a module in place.

    Args:
        tree: The module's syntax tree.
        path: Its file, for messages.

    Returns:
        The checks of each function that has any, as its judge needs them.

    Raises:
        UsageError: A weight() or must() is written wrongly.
    """
    functions = find_functions(tree, path)
    for number, function in enumerate(functions):
        _instrument_function(function, number)
    return [[each.spec for each in function.asserts] for function in functions]


def _instrument_function(function: FoundFunction, number: int) -> None:
    node = function.node
    chosen = {id(each.node): each.spec.id for each in function.asserts}
    for each in function.asserts:
        if each.annotated:
            each.node.msg = None
    enter = ast.Call(_of_judge(number, "enter"), [], [])
    first = ast.Assign([ast.Name(_JUDGE, ast.Store())], enter)
    documented = ast.get_docstring(node, clean=False) is not None
    # A docstring is no line that runs.
    _locate(first, node.body[documented and len(node.body) > 1])
    node.body.insert(documented, first)
    _Wrapper(chosen).generic_visit(node)
    mark = _of_judge(number, "mark")
    _locate(mark, node)
    node.decorator_list.append(mark)


def _of_judge(number: int, method: str) -> ast.Attribute:
    judge = ast.Subscript(_load(_JUDGES), ast.Constant(number), ast.Load())
    return ast.Attribute(judge, method, ast.Load())


class _Wrapper(ast.NodeTransformer):
    """Replaces each chosen assert by one that reports its result to a judge."""

    def __init__(self, chosen: dict[int, int]) -> None:
        self.chosen = chosen

    def visit_Assert(self, node: ast.Assert) -> ast.stmt | list[ast.stmt]:
        index = self.chosen.get(id(node))
        if index is None:
            return node
        begin = ast.Expr(_call("begin"))
        # A bare `raise` leaves the traceback as it is.
        failed = ast.If(
            _call("failed", ast.Constant(index), _load(_ERROR)), [ast.Raise()], []
        )
        handler = ast.ExceptHandler(_load(_EXCEPTION), _ERROR, [failed])
        passed = ast.Expr(_call("passed", ast.Constant(index)))
        block = ast.Try([], [handler], [passed], [])
        for made in (begin, block):
            _locate(made, node)
        block.body = [node]
        return [begin, block]


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(_load(_JUDGE), method, ast.Load())
    return ast.Call(function, list(arguments), [])


def _locate(made: ast.AST, original: ast.AST) -> None:
    for part in ast.walk(made):
        ast.copy_location(part, original)
        # Of an attribute that spans lines Python traces the last one: for a decorator
        # that is the function's, and coverage would count it as run.
        if isinstance(part, ast.stmt | ast.expr | ast.excepthandler):
            part.end_lineno, part.end_col_offset = part.lineno, part.col_offset


class SoftAssertFinder(importlib.abc.MetaPathFinder):
    """Claims scenario files; every other file is left to the finders after it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @property
    def introspect(self) -> bool:
        """Whether pytest rewrites asserts in this run."""
        # Set before the options, which initial conftests come before.
        return bool(self.config.known_args_namespace.assertmode == "rewrite")

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Claims the module if its file is a scenario file.

        Args:
            name: The module's full name.
            path: The folders of the package that it is in, if any.
            target: Unused: what is reloaded is found as what is loaded.
        """
        if name.rpartition(".")[2] == "conftest" or (path and all(map(_foreign, path))):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if (
            spec is None
            or spec.origin is None
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
            or not self._may_claim(Path(spec.origin))
        ):
            return None
        draft = _Draft.read(Path(spec.origin), introspect=self.introspect)
        if draft is None:
            return None
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=ScenarioLoader(name, spec.origin, draft, self.config),
            submodule_search_locations=spec.submodule_search_locations,
        )

    def _may_claim(self, path: Path) -> bool:
        """Whether it is a file of the project, or lies beside one that was named."""
        if _foreign(str(path)):
            return False
        if path.is_relative_to(self.config.rootpath) or path.name.startswith("test"):
            return True
        here = self.config.invocation_params.dir
        named = (here / str(arg).partition("::")[0] for arg in self.config.args)
        return any(
            path.is_relative_to(place.parent if place.suffix == ".py" else place)
            for place in named
        )


class ScenarioLoader(importlib.machinery.SourceFileLoader):
    """Runs a scenario file's code with its judges in reach."""

    def __init__(
        self, name: str, path: str, draft: _Draft, config: pytest.Config
    ) -> None:
        super().__init__(name, path)
        self._draft = draft
        self._config = config

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module.

        Raises:
            UsageError: A weight() or must() is written wrongly; says where.
        """
        code, specs = self._draft.ready or self._draft.compile(self._config)
        module.__dict__[_JUDGES] = [Judge(function) for function in specs]
        module.__dict__[_EXCEPTION] = builtins.Exception
        exec(code, module.__dict__)  # noqa: S102 - this is how modules are run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A scenario file on its way to code.

    Attributes:
        tree: None if the code came from the cache or the syntax is wrong.
        ready: Code and checks from the cache.
    """

    path: Path
    source: bytes
    introspect: bool
    tree: ast.Module | None = None
    ready: tuple[CodeType, Specs] | None = None

    @classmethod
    def read(cls, path: Path, *, introspect: bool) -> _Draft | None:
        """Reads the file; None if nothing in it can be a check."""
        try:
            source = path.read_bytes()
        except OSError:
            return None
        if not (_MENTION.search(source) and _USES.search(source)):
            return None
        stamp = _stamp(path, source)
        ready = _read_cache(_cache_path(path, introspect), stamp)
        if ready is not None:
            return cls(path=path, source=source, introspect=introspect, ready=ready)
        try:
            tree = ast.parse(source, filename=str(path))
        except (SyntaxError, ValueError):
            # It is raised again where pytest expects it: at the import.
            return cls(path=path, source=source, introspect=introspect)
        if not _makes_checks(tree):
            return None
        return cls(path=path, source=source, introspect=introspect, tree=tree)

    def compile(self, config: pytest.Config) -> tuple[CodeType, Specs]:
        """Makes the code and caches it."""
        name = str(self.path)
        tree = self.tree or ast.parse(self.source, filename=name)
        specs = instrument(tree, name)
        if self.introspect:
            rewrite_asserts(tree, self.source, name, config)
        # optimize=0: `python -O` must not take the asserts away.
        code: CodeType = compile(tree, name, "exec", dont_inherit=True, optimize=0)
        if not sys.dont_write_bytecode:
            cache = _cache_path(self.path, self.introspect)
            _write_cache(cache, _stamp(self.path, self.source), code, specs)
        return code, specs


def _makes_checks(tree: ast.Module) -> bool:
    """Whether the module's imports give it scenarios or rubrics."""
    names = Names.of(tree)
    if not set(_MAKERS).isdisjoint(names.direct.values()):
        return True
    return bool(names.modules) and any(
        isinstance(node, ast.Attribute) and names.resolve(node) in _MAKERS
        for node in ast.walk(tree)
    )


def _foreign(path: str) -> bool:
    """Whether the file or folder is installed, or the library itself."""
    place = Path(path)
    return not _INSTALLED.isdisjoint(place.parts) or place.is_relative_to(_OWN)


_OWN = Path(agentgym.__file__).parent


def _cache_path(path: Path, introspect: bool) -> Path | None:
    try:
        usual = Path(importlib.util.cache_from_source(str(path)))
    except NotImplementedError:  # this Python caches nothing
        return None
    mode = "checks" if introspect else "plain"
    tag = f"{sys.implementation.cache_tag}-pytest-{pytest.__version__}"
    name = f"{path.stem}.agentgym-{__version__}-{mode}-{tag}.pyc"
    return usual.with_name(name)


def _stamp(path: Path, source: bytes) -> tuple[Any, ...]:
    """What the cached code depends on beside the versions in its name."""
    passes = tuple(
        os.stat(file).st_mtime_ns for file in (__file__, source_pass.__file__)
    )
    return (
        importlib.util.MAGIC_NUMBER,
        str(path),
        importlib.util.source_hash(source),
        passes,
    )


def _read_cache(
    cache: Path | None, stamp: tuple[Any, ...]
) -> tuple[CodeType, Specs] | None:
    """The cached code and checks; None if there are none, or none that can be used."""
    if cache is None:
        return None
    try:
        cached, code, rows = marshal.loads(cache.read_bytes())  # noqa: S302 - our own
        specs = [[CheckSpec(**dict(row)) for row in each] for each in rows]
        return (code, specs) if cached == stamp and type(code) is CodeType else None
    except Exception:  # noqa: BLE001 - whatever is wrong, it is made anew
        return None


def _write_cache(
    cache: Path | None, stamp: tuple[Any, ...], code: CodeType, specs: Specs
) -> None:
    """Writes the cache atomically; where that is impossible there is none."""
    if cache is None:
        return
    rows: list[list[tuple[Any, ...]]] = [
        [tuple((f, getattr(spec, f)) for f in CheckSpec.__slots__) for spec in each]
        for each in specs
    ]
    partial = cache.with_name(f"{cache.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(marshal.dumps((stamp, code, rows)))
        partial.replace(cache)


def install(config: pytest.Config) -> SoftAssertFinder:
    """Puts the finder before pytest's own, once."""
    for installed in sys.meta_path:
        if isinstance(installed, SoftAssertFinder) and installed.config is config:
            return installed
    finder = SoftAssertFinder(config)
    sys.meta_path.insert(0, finder)
    return finder


def uninstall() -> None:
    """Takes the finder away."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, SoftAssertFinder)]
