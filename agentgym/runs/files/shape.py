"""Whether JSON of a file has the types that a `TypedDict` says it has.

A file that was edited, cut or merged by hand must end in a sentence that names the
field, not in an error of whichever report reads it first.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, NotRequired

from agentgym.recording.plain import shorten

Later = Mapping[type, Collection[str]]
"""Fields of typed dictionaries that early versions did not write."""

_Check = Callable[[Any], None]
_SCALARS: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    types.NoneType: ("null", (types.NoneType,)),
}


def loads(text: str | bytes, *, finite: bool = False) -> Any:
    """Reads JSON, of whatever depth.

    Args:
        text: From a file that anyone may have written.
        finite: Whether NaN and Infinity, which are no JSON, are refused at once.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        if not finite:
            return json.loads(text)
        # json.loads would make a decoder for every line.
        return _FINITE.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


_FINITE = json.JSONDecoder(parse_constant=_refused)


def check_shape(value: Any, kind: type, later: Callable[[], Later] = dict) -> None:
    """Checks all fields that a typed dictionary has; others may be there as well.

    What is `Any` in it may be anything but a number that is not finite; what is
    `object` is not looked at.

    Args:
        value: What was read.
        kind: A `TypedDict`.
        later: Gives the fields that may be missing, as early versions lack them.

    Raises:
        ValueError: A field is missing or has another type; the message names it.
    """
    try:
        _check_of(kind, later)(value)
    except _Misfit as exc:
        raise ValueError(str(exc)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _Misfit(Exception):
    """A value is not what it must be; the path grows on the way out."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path.lstrip('.') or 'it'} {self.args[0]}"


@cache
def _check_of(hint: Any, later: Callable[[], Later]) -> _Check:
    if hint is Any:
        return _finite
    if hint is object:
        return lambda _: None
    if typing.is_typeddict(hint):
        return _fields(hint, later)
    if hint in _SCALARS:
        return _scalar(*_SCALARS[hint])
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _one_of(parts)
    if origin is list:
        return _items(_check_of(parts[0], later))
    if origin is dict:
        return _values(_check_of(parts[1], later))
    assert origin in (typing.Union, types.UnionType), hint
    return _any_of(parts, later)


def _fields(kind: Any, later: Callable[[], Later]) -> _Check:
    hints = typing.get_type_hints(kind)
    checks = {name: _check_of(hint, later) for name, hint in hints.items()}
    # What is `NotRequired` in a string, Python does not count as that.
    marks = typing.get_type_hints(kind, include_extras=True)
    free = {n for n, mark in marks.items() if typing.get_origin(mark) is NotRequired}
    required = kind.__required_keys__ - free - set(later().get(kind, ()))

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise _Misfit(f"is {_shown(value)}, not an object")
        for name in sorted(required - value.keys()):
            raise _Misfit("is missing", f".{name}")
        for name, item in value.items():
            _check_item(checks.get(name, _finite), item, name)

    return check


def _check_item(check: _Check, item: Any, place: str | int) -> None:
    try:
        check(item)
    except _Misfit as exc:
        step = f"[{place}]" if isinstance(place, int) else f".{place}"
        exc.path = shorten(step, 80) + exc.path
        raise


def _items(check_one: _Check) -> _Check:
    def check(value: Any) -> None:
        if type(value) is not list:
            raise _Misfit(f"is {_shown(value)}, not a list")
        for number, item in enumerate(value):
            _check_item(check_one, item, number)

    return check


def _values(check_one: _Check) -> _Check:
    def check(value: Any) -> None:
        if type(value) is not dict:
            raise _Misfit(f"is {_shown(value)}, not an object")
        for name, item in value.items():
            _check_item(check_one, item, name)

    return check


def _scalar(words: str, kinds: tuple[type, ...]) -> _Check:
    number = int in kinds

    def check(value: Any) -> None:
        # Of JSON's types only, as true would be a number.
        if type(value) not in kinds:
            raise _Misfit(f"is {_shown(value)}, not {words}")
        if number and not _is_finite(value):
            raise _Misfit(f"is {_shown(value)}, not a finite number")

    return check


def _one_of(values: tuple[Any, ...]) -> _Check:
    def check(value: Any) -> None:
        if type(value) is not str or value not in values:
            listed = ", ".join(map(str, values))
            raise _Misfit(f"is {_shown(value)}, none of {listed}")

    return check


def _any_of(hints: tuple[Any, ...], later: Callable[[], Later]) -> _Check:
    checks = [_check_of(hint, later) for hint in hints if hint is not types.NoneType]
    nullable = types.NoneType in hints

    def check(value: Any) -> None:
        if value is None and nullable:
            return
        for other in checks[:-1]:
            try:
                other(value)
            except _Misfit:
                continue
            return
        checks[-1](value)

    return check


def _finite(value: Any) -> None:
    """Anything, but without a number that is no JSON or that no float can hold."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_item(_finite, item, name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_item(_finite, item, number)
    elif isinstance(value, int | float) and not _is_finite(value):
        raise _Misfit(f"is {_shown(value)}, not a finite number")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f'"{shorten(value, 40)}"'
    return shorten(json.dumps(value), 40)
