"""The model calls of traces, of which each repeats what was said before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.traces.past_conversation import Message, StoredConversation


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCall:
    """One model call of a trace.

    Attributes:
        trace: Id of the trace that it is in.
        messages: What the model was sent and what it answered, in OpenAI's form.
        tools: The tools that it knew.
    """

    trace: str
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]


def items_of(value: Mapping[str, Any], *keys: str) -> list[Mapping[str, Any]]:
    """What an export holds: the items of its list, or itself as the only one.

    Args:
        value: One value of a file.
        *keys: Where a list may stand; the first that there is counts.
    """
    for key in keys:
        if isinstance(value.get(key), list):
            return [item for item in value[key] if isinstance(item, Mapping)]
    return [value]


def longest(calls: Iterable[StoredCall]) -> Iterator[StoredConversation]:
    """The conversation of each trace: that of its longest model call, the last of them.

    One that another one goes on from is left out: of a chat whose every turn has a
    trace of its own, the last turn has all of it.

    Args:
        calls: In the order of their traces.
    """
    best: dict[str, StoredCall] = {}
    for call in calls:
        before = best.get(call.trace)
        if before is None or len(call.messages) >= len(before.messages):
            best[call.trace] = call
    begun: set[str] = set()
    whole: dict[str, str] = {}
    for trace, call in best.items():
        digest = hashlib.blake2b(digest_size=16)
        said = [m for m in call.messages if m["role"] not in ("system", "developer")]
        for number, message in enumerate(said, 1):
            digest.update(json.dumps(message, sort_keys=True).encode())
            if number < len(said):
                begun.add(digest.hexdigest())
        whole[trace] = digest.hexdigest()
    for trace, call in best.items():
        if call.messages and whole[trace] not in begun:
            yield StoredConversation(id=trace, messages=call.messages, tools=call.tools)
