"""The AST pass that makes the asserts of a scenario file checks.

Each chosen assert is wrapped in try/except around calls of a judge, which the module
finds under a name that no source can contain.
"""

from __future__ import annotations

import ast

from agentgym.scenarios.checks import CheckSpec
from agentgym.scenarios.source import FoundFunction, find_functions

# Names that no source can contain, as pytest's own rewriting uses them. Those of the
# module begin with an underscore, or `import *` would hand its judges to another one.
JUDGES, EXCEPTION = "_@agentgym_judges", "_@agentgym_exception"
_JUDGE, _ERROR = "@agentgym_judge", "@agentgym_error"

Specs = list[list[CheckSpec]]
"""The checks of each function of a file that has any."""


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
    judge = ast.Subscript(_load(JUDGES), ast.Constant(number), ast.Load())
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
        handler = ast.ExceptHandler(_load(EXCEPTION), _ERROR, [failed])
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
