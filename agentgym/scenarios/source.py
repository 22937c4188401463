"""Reads scenario files: which functions are scenarios, and what their asserts say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.scenarios.checks import CheckSpec, Must, Weight, must, weight

NAMES = ("scenario", "Scenario", "rubric", "weight", "must")
_SWALLOWING = ("raises", "suppress", "warns")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Names:
    """What a module calls the things that it imports from agentgym."""

    direct: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, tree: ast.Module) -> Names:
        """Reads the import statements, wherever they are."""
        names = cls()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level:
                if (node.module or "").partition(".")[0] != "agentgym":
                    continue
                for alias in node.names:
                    if alias.name == "*":
                        names.direct.update({name: name for name in NAMES})
                    elif alias.name in NAMES:
                        names.direct[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "agentgym":
                        names.modules.add(alias.asname or "agentgym")
        return names

    def resolve(self, node: ast.expr) -> str | None:
        """The agentgym name that an expression means, or None."""
        if isinstance(node, ast.Name):
            return self.direct.get(node.id)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in self.modules
            and node.attr in NAMES
        ):
            return node.attr
        return None


@dataclass(frozen=True, slots=True)
class FoundAssert:
    """An assert that is a check.

    Attributes:
        annotated: Whether its message is a weight() or must().
    """

    node: ast.Assert
    spec: CheckSpec
    annotated: bool


@dataclass(frozen=True, slots=True)
class FoundFunction:
    """A function whose asserts are checks.

    Attributes:
        kind: `scenario`, `rubric`, or `play` for a method of a Scenario class.
    """

    node: FunctionNode
    kind: str
    asserts: list[FoundAssert]


def read_file(path: Path) -> ast.Module:
    """The module that a file of scenarios holds.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read, or is no Python.
    """
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}") from exc
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None) or 1
        what = getattr(exc, "msg", None) or exc
        raise UsageError(f"{path}:{line}: this is no valid Python: {what}") from exc


def scenario_names(tree: ast.Module) -> list[str]:
    """The names of a module's scenarios, functions and classes, in their order.

    Args:
        tree: The parsed module.
    """
    names = Names.of(tree)
    classes = _scenario_classes(tree, names)
    return [
        node.name
        for node in tree.body
        if (isinstance(node, ast.ClassDef) and node.name in classes)
        or (isinstance(node, FunctionNode) and _kind(node, names) == "scenario")
    ]


def find_functions(tree: ast.Module, path: str) -> list[FoundFunction]:
    """All functions of a module whose asserts are checks.

    Args:
        tree: The parsed module.
        path: Of its file, for the checks and for messages.

    Raises:
        UsageError: A weight() or must() is written wrongly; says where.
    """
    names = Names.of(tree)
    if not names.direct and not names.modules:
        return []
    classes = _scenario_classes(tree, names)
    functions = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            functions += [
                FoundFunction(member, "play", _asserts(member, names, path))
                for member in node.body
                if isinstance(member, FunctionNode) and member.name == "play"
            ]
        elif isinstance(node, FunctionNode):
            kind = _kind(node, names)
            if kind is not None:
                functions.append(FoundFunction(node, kind, _asserts(node, names, path)))
    return functions


def _scenario_classes(tree: ast.Module, names: Names) -> set[str]:
    """Classes that derive from Scenario, also by way of a class of this module."""
    scenarios: set[str] = set()
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in classes:
        for node in classes:
            for base in node.bases:
                own = isinstance(base, ast.Name) and base.id in scenarios
                if own or names.resolve(base) == "Scenario":
                    scenarios.add(node.name)
    return scenarios


def _kind(node: FunctionNode, names: Names) -> str | None:
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = names.resolve(target)
        if name in ("scenario", "rubric"):
            return name
    return None


def _asserts(function: FunctionNode, names: Names, path: str) -> list[FoundAssert]:
    asserts = []
    for number, (node, conditional) in enumerate(_walk(function.body, False, names)):
        annotation = _annotation(node, names, path)
        spec = CheckSpec(
            id=number,
            text=" ".join(ast.unparse(node.test).split()),
            file=path,
            line=node.lineno,
            weight=1.0 if annotation is None else annotation.weight,
            must=annotation.why if isinstance(annotation, Must) else None,
            conditional=conditional,
            negated=_negated(node.test),
        )
        asserts.append(FoundAssert(node, spec, annotation is not None))
    return asserts


def _walk(
    body: list[ast.stmt], conditional: bool, names: Names
) -> Iterator[tuple[ast.Assert, bool]]:
    """The asserts that become checks, and whether a finished body may skip them."""
    for node in body:
        if isinstance(node, ast.Assert):
            yield node, conditional
        elif isinstance(node, FunctionNode | ast.ClassDef):
            continue
        elif isinstance(node, ast.With | ast.AsyncWith):
            if not any(_swallows(item.context_expr) for item in node.items):
                yield from _walk(node.body, conditional, names)
        elif isinstance(node, ast.Try | ast.TryStar):
            if not node.handlers:
                yield from _walk(node.body, conditional, names)
            for handler in node.handlers:
                yield from _walk(handler.body, True, names)
            yield from _walk(node.orelse, conditional or bool(node.handlers), names)
            yield from _walk(node.finalbody, conditional, names)
        elif isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While):
            yield from _walk(node.body, True, names)
            yield from _walk(node.orelse, True, names)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from _walk(case.body, True, names)
        if _may_leave(node):
            conditional = True


def _may_leave(node: ast.AST) -> bool:
    """Whether the statement may end the function (or loop) early."""
    if isinstance(node, FunctionNode | ast.ClassDef):
        return False
    if isinstance(node, ast.Return | ast.Break | ast.Continue):
        return True
    return any(
        _may_leave(child)
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
    )


def _swallows(context: ast.expr) -> bool:
    """Whether `with <context>` may catch what an assert raises."""
    if not isinstance(context, ast.Call):
        return False
    function = context.func
    name = function.attr if isinstance(function, ast.Attribute) else None
    if isinstance(function, ast.Name):
        name = function.id
    return name in _SWALLOWING


def _annotation(node: ast.Assert, names: Names, path: str) -> Weight | Must | None:
    """What the assert's message states, if it is a weight() or must()."""
    message = node.msg
    if not isinstance(message, ast.Call):
        return None
    name = names.resolve(message.func)
    if name not in ("weight", "must"):
        return None
    make = weight if name == "weight" else must
    try:
        arguments = [ast.literal_eval(value) for value in message.args]
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in message.keywords}
        return make(*arguments, **keywords)
    except UsageError as exc:
        raise UsageError(f"{path}:{message.lineno}: {exc}") from None
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}:{message.lineno}: {ast.unparse(message)} is read from the source: "
            'write plain values in it, such as weight(2) or must("why")'
        ) from None


def _negated(test: ast.expr) -> bool | None:
    """Whether the `.called(...)` in an expression are all, none or partly negated."""
    signs: set[bool] = set()

    def visit(node: ast.AST, negative: bool) -> None:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            negative = not negative
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "called"
        ):
            signs.add(negative)
        for child in ast.iter_child_nodes(node):
            visit(child, negative)

    visit(test, False)
    if len(signs) == 2:
        return None
    return signs == {True}
