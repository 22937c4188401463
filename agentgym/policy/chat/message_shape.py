"""What a template wants to be given, where families differ; found by trying."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageShape:
    """How messages are turned before a template sees them.

    Attributes:
        text_arguments: Whether arguments are JSON text, not objects.
        ids: The ids of calls: as they are, nine characters (Mistral), or the tool's
            name and a number (Kimi).
        named_results: Whether a tool's result has the tool's name.
        thoughts: The key of an assistant's thoughts; None if they are dropped.
    """

    text_arguments: bool = False
    ids: Literal["given", "nine", "numbered"] = "given"
    named_results: bool = False
    thoughts: str | None = None

    def __call__(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the template wants them; the given ones stay as they are."""
        ids: dict[Any, tuple[Any, str]] = {}
        count = itertools.count()
        return [self._turned(message, ids, count) for message in messages]

    def _turned(
        self,
        message: Message,
        ids: dict[Any, tuple[Any, str]],
        count: Iterator[int],
    ) -> Message:
        turned = {k: v for k, v in message.items() if k != "reasoning_content"}
        thought = message.get("reasoning_content")
        if thought and self.thoughts is not None:
            turned[self.thoughts] = thought
        if message.get("tool_calls"):
            turned["tool_calls"] = [
                self._call(call, ids, count) for call in message["tool_calls"]
            ]
        elif message["role"] == "tool":
            known = ids.get(message.get("tool_call_id"))
            if known is not None:
                turned["tool_call_id"] = known[0]
                if self.named_results:
                    turned.setdefault("name", known[1])
        return turned

    def _call(
        self,
        call: Mapping[str, Any],
        ids: dict[Any, tuple[Any, str]],
        count: Iterator[int],
    ) -> dict[str, Any]:
        function = dict(call["function"])
        if self.text_arguments and not isinstance(function["arguments"], str):
            function["arguments"] = json.dumps(
                function["arguments"], ensure_ascii=False
            )
        given, number = call.get("id"), next(count)
        shown = given
        if self.ids == "nine" and not _is_nine(given):
            digest = hashlib.blake2b(str(given).encode(), digest_size=8).hexdigest()
            shown = digest[:9]
        elif self.ids == "numbered":
            shown = f"functions.{function['name']}:{number}"
        ids[given] = (shown, function["name"])
        return {**call, "id": shown, "function": function}


def _is_nine(given: object) -> bool:
    return isinstance(given, str) and len(given) == 9 and given.isalnum()


def shapes() -> Iterator[MessageShape]:
    """All of them, the usual one first."""
    kinds: tuple[Literal["given", "nine", "numbered"], ...] = (
        "given",
        "nine",
        "numbered",
    )
    for ids, as_text, named in itertools.product(kinds, (False, True), (False, True)):
        yield MessageShape(text_arguments=as_text, ids=ids, named_results=named)
