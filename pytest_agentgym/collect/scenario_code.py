"""A scenario file on its way to code, and the cache of that code."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import marshal
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

from agentgym.distribution import __version__
from agentgym.scenarios import source as source_pass
from agentgym.scenarios.checks import CheckSpec
from agentgym.scenarios.source import Names
from pytest_agentgym.collect import check_pass
from pytest_agentgym.collect.check_pass import Specs, instrument

# An import may come after a byte order mark, a semicolon or a colon, and its line may
# be continued.
_MENTION = re.compile(
    rb"(?:^|[\r;:]|\xef\xbb\xbf)\s*(?:from|import)[\s\\]"
    rb"(?:[^\r\n\\]|\\\r?\n)*\bagentgym\b",
    re.MULTILINE,
)
_MAKERS = ("scenario", "Scenario", "rubric")
_USES = re.compile(rb"\b(scenario|Scenario|rubric)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioCode:
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
    def read(cls, path: Path, *, introspect: bool) -> ScenarioCode | None:
        """Reads the file; None if nothing in it can be a check.

        Args:
            path: The file.
            introspect: Whether failed asserts are explained as pytest does.
        """
        try:
            source = path.read_bytes()
        except OSError:
            return None
        if not mentions_scenarios(source):
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


def mentions_scenarios(source: bytes) -> bool:
    """Whether a file may have scenarios or rubrics, as far as its words tell."""
    return bool(_MENTION.search(source) and _USES.search(source))


def _makes_checks(tree: ast.Module) -> bool:
    """Whether the module's imports give it scenarios or rubrics."""
    names = Names.of(tree)
    if not set(_MAKERS).isdisjoint(names.direct.values()):
        return True
    return bool(names.modules) and any(
        isinstance(node, ast.Attribute) and names.resolve(node) in _MAKERS
        for node in ast.walk(tree)
    )


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
        os.stat(file).st_mtime_ns
        for file in (__file__, check_pass.__file__, source_pass.__file__)
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
