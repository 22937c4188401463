"""Plain, bounded JSON of anything: what an agent's values are stored as.

A user's object may raise whatever it likes when it is printed, take for ever, or hold
itself a million times. None of that may cost an episode, or fill a disk.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_TEXT = 20_000
MAX_ITEMS = 1_000
MAX_DEPTH = 30
MAX_SIZE = 1_000_000
"""Characters of all values together, of which an item counts for 50 at least."""
_ITEM = 50
_STUB = 100
"""What is kept of a text when the size is used up."""

Show = Callable[[Any], str]
_CONTAINERS = (dict, list, tuple, set, frozenset)
_MAX_VALUES = 50_000
"""Values in a container that is printed as it is."""


_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, movements of the cursor
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])"  # titles, links, ended by one of ...
    r"[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
"""What ECMA-48 calls escape and control sequences, and control strings."""


class ForeignValue(Exception):
    """A value whose text only its own code can make."""


class Plain:
    """Makes JSON of values, until a total size is used up.

    Args:
        size: Characters that are kept in all.
        show: Makes text of an object that JSON does not know; `refuse` raises instead,
            `name_only` calls no code of the object's.
    """

    __slots__ = ("_left", "_show")

    def __init__(self, size: int = MAX_SIZE, show: Show | None = None) -> None:
        self._left = size
        self._show = show or printed

    @property
    def used_up(self) -> bool:
        """Whether the size is used up."""
        return self._left <= 0

    def of(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """The value as JSON.

        Args:
            value: Anything, of any size, even one that contains itself.
            depth: Levels of containers that are kept.
        """
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is bool:
            return value
        if kind is dict:
            # A copy at once, as the user's own thread may still change it.
            return self._mapping(list(value.items()), len(value), depth)
        if kind is list or kind is tuple:
            return self._sequence(value[:MAX_ITEMS], len(value), depth)
        if kind is int:
            return _integer(value)
        if kind is float:
            return _float(value)
        return self._foreign(value, kind, depth)

    def text(self, text: str) -> str:
        """The text, cut where it is too long, and without lone surrogates."""
        length = len(text)
        if length > _ITEM:
            most = max(_STUB, min(MAX_TEXT, self._left))
            text = cut(text, most)
            self._left -= len(text)
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()
            # In a file each of these characters takes up to six.
            self._left -= 2 * len(text)
        return text

    def _foreign(self, value: Any, kind: type, depth: int) -> Any:
        if self._show is refuse:
            raise ForeignValue
        try:
            return self._known(value, kind, depth)
        except BaseException as exc:  # noqa: BLE001 - a user's class may raise anything
            raise_if_pressed(exc)
            return self.text(_unshown(value, exc))

    def _known(self, value: Any, kind: type, depth: int) -> Any:
        """A subclass as what it is made of, by its base's own methods."""
        if issubclass(kind, int):
            return _integer(int.__int__(value))
        if issubclass(kind, float):
            return _float(float.__float__(value))
        if issubclass(kind, str):
            return self.text(str.__str__(value))
        if issubclass(kind, list):
            listed = list.__getitem__(value, slice(MAX_ITEMS))
            return self._sequence(listed, list.__len__(value), depth)
        if issubclass(kind, tuple):
            part = tuple.__getitem__(value, slice(MAX_ITEMS))
            return self._sequence(part, tuple.__len__(value), depth)
        if issubclass(kind, dict):
            return self._mapping(list(dict.items(value)), dict.__len__(value), depth)
        if issubclass(kind, bytes | bytearray):
            raw = bytes(memoryview(value)[: MAX_TEXT + 1])
            return self.text(raw.decode("utf-8", "replace"))
        if self._show is not name_only and issubclass(kind, Mapping):
            items = list(itertools.islice(value.items(), MAX_ITEMS + 1))
            return self._mapping(items, len(items), depth)
        return self.text(self._show(value))

    def _room(self, size: int) -> int:
        """How many items of a container are kept."""
        room = min(size, MAX_ITEMS, max(0, self._left // _ITEM))
        self._left -= _ITEM * room
        return room

    def _mapping(
        self, items: list[tuple[Any, Any]], size: int, depth: int
    ) -> dict[str, Any] | str:
        if depth == 0:
            return _too_deep("mapping")
        room = self._room(size)
        kept = {}
        for key, item in items if room == size else items[:room]:
            name = self.text(key if type(key) is str else printed(key, str))
            # The commonest value by far, without a call.
            if type(item) is str and len(item) <= _ITEM and item.isascii():
                kept[name] = item
            else:
                kept[name] = self.of(item, depth - 1)
        if size > room:
            kept["..."] = f"[{size - room} items cut]"
        return kept

    def _sequence(self, items: Iterable[Any], size: int, depth: int) -> list[Any] | str:
        if depth == 0:
            return _too_deep("list")
        room = self._room(size)
        listed = [self.of(item, depth - 1) for item in itertools.islice(items, room)]
        if size > room:
            listed.append(f"[... {size - room} items cut]")
        return listed


def jsonable(value: Any) -> Any:
    """One value with everything that JSON cannot hold as text, cut to a sane size."""
    return Plain().of(value)


def copied(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value with its plain containers copied: a tool may change them later.

    One that holds itself many times is copied once, or it would grow without end.

    Args:
        value: Anything.
        depth: Levels of containers that are copied.
    """
    kind = type(value)
    return _copied(value, depth, {}) if kind is dict or kind is list else value


def _copied(value: Any, depth: int, known: dict[int, Any]) -> Any:
    kind = type(value)
    if (kind is not dict and kind is not list) or not depth:
        return value
    copy = known.get(id(value))
    if copy is None:
        if kind is dict:
            copy = known[id(value)] = {}
            for key, item in list(value.items()):
                copy[key] = _copied(item, depth - 1, known)
        else:
            copy = known[id(value)] = []
            copy += [_copied(item, depth - 1, known) for item in list(value)]
    return copy


def as_text(value: Any) -> str:
    """What a model gets of a tool's result: a text as it is, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(jsonable(value), ensure_ascii=False)


def alike(one: Any, other: Any) -> bool:
    """Whether the values are equal, whatever their `==` raises.

    Args:
        one: Anything of the user's.
        other: Anything of the user's.
    """
    try:
        return bool(one == other)
    except BaseException as exc:  # noqa: BLE001 - a user's class may raise anything
        raise_if_pressed(exc)
        return False


def holds(question: Callable[[Any], bool], value: Any) -> bool:
    """Whether something holds for the value; not if the value raises at the question.

    Args:
        question: Such as `inspect.isawaitable`, which asks a value for its class.
        value: Anything of the user's.
    """
    try:
        return question(value)
    except BaseException as exc:  # noqa: BLE001 - a user's class may raise anything
        raise_if_pressed(exc)
        return False


def refuse(value: Any) -> str:
    """In place of `printed`, for `Plain`: a value that needs it raises.

    Raises:
        ForeignValue: Always.
    """
    raise ForeignValue(type(value))


def name_only(value: Any) -> str:
    """In place of `printed`, for `Plain`: only what kind of object it is."""
    return f"<{_name(value)} that takes too long to be shown>"


def printed(value: Any, form: Callable[[Any], str] = repr) -> str:
    """The value's `repr` (or other form), whatever that raises.

    Args:
        value: Anything of the user's.
        form: Makes it text; not of a container that has no end.
    """
    try:
        if issubclass(type(value), _CONTAINERS) and _grows(value):
            return repr(Plain().of(value))
        # Its own class of texts may be unkind, too.
        return str.__str__(form(value))
    except BaseException as exc:  # noqa: BLE001 - a user's class may raise anything
        raise_if_pressed(exc)
        return _unshown(value, exc)


def _grows(container: Any) -> bool:
    """Whether it prints as too much: lists that hold others twice double each time."""
    left, waiting = _MAX_VALUES, [container]
    while waiting:
        value = waiting.pop()
        for kind in _CONTAINERS:
            if issubclass(type(value), kind):
                left -= kind.__len__(value)
                if left < 0:
                    return True
                inner = dict.values(value) if kind is dict else kind.__iter__(value)
                waiting += [v for v in inner if issubclass(type(v), _CONTAINERS)]
    return False


def raise_if_pressed(exc: BaseException) -> None:
    """Raises a KeyboardInterrupt again that may be the user's own Ctrl-C.

    Only the main thread gets that; elsewhere somebody's code has raised it.
    """
    main = threading.current_thread() is threading.main_thread()
    if isinstance(exc, KeyboardInterrupt) and main:
        raise exc


def token_count(value: Any) -> int | None:
    """A number of tokens as a server gave it; None if it is none.

    Servers also send texts, nulls, NaN and less than 0.
    """
    kind = type(value)
    if kind is str and value.isdecimal() and len(value) < 12:
        return int(value)
    if issubclass(kind, int | float) and 0 <= value < 1e12:
        return int(value)
    return None


def clean(text: str) -> str:
    """The text, cut to `MAX_TEXT` characters and without lone surrogates."""
    if len(text) > MAX_TEXT:
        text = cut(text, MAX_TEXT)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text


def cut(text: str, most: int) -> str:
    """The text's beginning, and how much is left out.

    Args:
        text: Of any length.
        most: Characters that are kept of it.
    """
    length = len(text)
    if length <= most:
        return text
    return f"{text[:most]} [... {length - most} characters cut]"


def shorten(text: str, length: int) -> str:
    """The text on one line, with an ellipsis if it is longer than `length`.

    Args:
        text: The text; its line breaks become spaces.
        length: In characters, ellipsis included.
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT]
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= length else line[: length - 3] + "..."


def _integer(value: int) -> int | str:
    # Python refuses to print longer integers.
    return value if value.bit_length() < 10_000 else "<a huge integer>"


def _float(value: float) -> float | str:
    # NaN and infinity are no JSON.
    return value if value - value == 0 else repr(value)


def _too_deep(kind: str) -> str:
    # Its `repr` may be endless: what holds itself twice doubles at each level.
    return f"<a {kind} nested more than {MAX_DEPTH} levels deep>"


def _name(value: object) -> str:
    try:
        return str.__str__(type(value).__name__)
    except BaseException as exc:  # noqa: BLE001 - a metaclass may raise anything
        raise_if_pressed(exc)
        return "object"


def _unshown(value: object, exc: BaseException) -> str:
    return f"<{_name(value)} that cannot be shown: {type(exc).__name__}>"


def without_escapes(text: str) -> str:
    """The text without what a terminal would obey in place of showing it."""
    return _ESCAPE.sub("", text)
