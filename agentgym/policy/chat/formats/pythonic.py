"""Calls as Python writes them: `[look_up(id="A1"), stop()]`."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass

from agentgym.policy.chat.formats.found import (
    FoundCall,
    ParsedCall,
    Schemas,
    all_or_none,
    before_mark,
)

_NAMES = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pythonic:
    """A list of calls with keyword arguments, between marks or as the whole reply.

    Attributes:
        name: See `CallFormat`.
        vllm_parser: See `CallFormat`.
        marks: Around the list, if anything is.
    """

    name: str
    vllm_parser: str | None
    marks: tuple[str, str] | None = None

    def find(self, text: str, tools: Schemas) -> list[FoundCall]:
        """See `CallFormat`."""
        if self.marks is None:
            start = len(text) - len(text.lstrip())
            if not text.startswith("[", start):
                return []
            return _read(text, (start, len(text)), (start, len(text)))
        opening, closing = self.marks
        start = text.find(opening)
        if start < 0:
            return []
        body = start + len(opening)
        close = text.find(closing, body)
        end = len(text) if close < 0 else close + len(closing)
        if close < 0:
            return [FoundCall(start=start, end=end)]
        return _read(text, (start, end), (body, close))

    def begin(self, text: str) -> int:
        """See `CallFormat`."""
        if self.marks is not None:
            return before_mark(text, self.marks[0])
        stripped = text.lstrip()
        return 0 if not stripped or stripped.startswith("[") else len(text)


def _read(text: str, block: tuple[int, int], body: tuple[int, int]) -> list[FoundCall]:
    """The calls of a list.

    Args:
        text: What it is part of.
        block: Where it stands with its marks.
        body: Where it stands without.
    """
    failed = [FoundCall(start=block[0], end=block[1])]
    begin = body[0] + len(text[slice(*body)]) - len(text[slice(*body)].lstrip())
    source = text[begin : body[1]].rstrip()
    try:
        tree = ast.parse(source, mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else []
        found = [_call(node, source) for node in nodes]
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return failed
    if not found:
        return failed
    ends = [begin + span[1] + 1 for _, span in found[:-1]] + [block[1]]
    starts = [block[0], *ends[:-1]]
    return all_or_none(
        [
            FoundCall(
                start=start,
                end=end,
                arguments=(begin + span[0], begin + span[1]),
                call=call,
            )
            for (call, span), start, end in zip(found, starts, ends, strict=True)
        ]
    )


def _call(node: ast.expr, source: str) -> tuple[ParsedCall, tuple[int, int]]:
    """A call, and where in the source its arguments stand.

    Raises:
        ValueError: It is no call of a tool with values for its arguments.
    """
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with keyword arguments")
    name = ast.unparse(node.func)
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("an argument without a name")
        at = _offset(source, keyword.lineno, keyword.col_offset) + len(keyword.arg)
        if not source.startswith("=", at):
            raise ValueError("blank space where vLLM allows none")
        arguments[keyword.arg] = _value(keyword.value)
    begin = _offset(source, node.func.end_lineno, node.func.end_col_offset)
    end = _offset(source, node.end_lineno, node.end_col_offset)
    if not source.startswith("(", begin):
        raise ValueError("blank space where vLLM allows none")
    call = ParsedCall(name=name, arguments=json.dumps(arguments, ensure_ascii=False))
    return call, (begin + 1, end - 1)


def _value(node: ast.expr) -> object:
    """The value that a node writes out.

    Raises:
        ValueError: It is to be computed.
    """
    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None):
            return node.value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {
                _text(key): _value(value)
                for key, value in zip(keys, values, strict=True)
            }
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            value: object = ast.literal_eval(node)
            return value
    raise ValueError("no value")


def _text(key: ast.expr | None) -> str:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return key.value
    raise ValueError("a key that is no text")


def _offset(source: str, line: int | None, column: int | None) -> int:
    """The character at a place as `ast` counts it: lines, and bytes within them."""
    lines = source.splitlines(keepends=True)
    before = sum(map(len, lines[: (line or 1) - 1]))
    within = lines[(line or 1) - 1].encode()[: column or 0]
    return before + len(within.decode())
