"""How an episode earned its reward, in a few words: what the signs are made of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agentgym.playing.episode import Episode
from agentgym.recording.plain import shorten
from agentgym.recording.trajectory import Message, ToolCall

EXCERPT = 60
"""Characters of a reply that are quoted."""
_DIGITS = 12
"""Of a digest: enough to tell the episodes of a training apart."""
_WORD = re.compile(r"[\w@./:-]+")
_ODD = re.compile(r"[\d@_/]")
"""What no plain word has: an id, a number, an address or a path does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What an agent did and said in an episode; it crosses processes.

    Attributes:
        calls: Tool calls that it made.
        did: Digest of these with their arguments, in order; empty without one.
        said: Digest of its reply.
        excerpt: How the reply begins.
        values: Digest of what the reply takes from its case: ids, numbers, addresses
            that the user or a tool gave; empty if it takes none.
        reply: Characters of the reply.
        written: Characters of all that it said, and called tools with.
        checks: By its text, whether a check passed; those that were not reached are
            left out where that is no failure.
    """

    calls: int = 0
    did: str = ""
    said: str = ""
    excerpt: str = ""
    values: str = ""
    reply: int = 0
    written: int = 0
    checks: dict[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form in a reward event and in `measured.jsonl`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Traits:
        """The traits that `to_json` described; what later versions add is left out."""
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


def traits_of(episode: Episode) -> Traits:
    """The traits of an episode.

    Args:
        episode: As it is stored: plain values, secrets masked.
    """
    trajectory = episode.trajectory
    calls, reply = trajectory.tool_calls, trajectory.reply
    made = list(map(_as_made, calls))
    said = [m for m in trajectory.messages if m.get("role") == "assistant"]
    return Traits(
        calls=len(calls),
        did=_digest(made) if made else "",
        said=_digest([reply]),
        excerpt=shorten(reply, EXCERPT),
        values=_values(reply, trajectory.messages),
        reply=len(reply),
        written=sum(map(len, made)) + sum(len(_text(message)) for message in said),
        checks=_judged(episode.checks),
    )


def _as_made(call: ToolCall) -> str:
    arguments = call.malformed or json.dumps(call.arguments, sort_keys=True)
    return f"{call.name}({arguments})"


def _values(reply: str, messages: Iterable[Message]) -> str:
    """Digest of the reply's ids and numbers that user or tools gave before."""
    told = (_text(m) for m in messages if m.get("role") in ("user", "tool"))
    taken = _odd_words(reply) & _odd_words(" ".join(told))
    return _digest(sorted(taken)) if taken else ""


def _odd_words(text: str) -> set[str]:
    return {word.strip(".:-/") for word in _WORD.findall(text) if _ODD.search(word)}


def _judged(checks: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    judged: dict[str, bool] = {}
    for check in checks:
        if check["status"] != "not_reached" or not check["conditional"]:
            passed = check["status"] == "passed"
            judged[check["text"]] = judged.get(check["text"], True) and passed
    return judged


def _text(message: Message) -> str:
    return str(message.get("content") or "")


def _digest(parts: Iterable[str]) -> str:
    joined = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(joined).hexdigest()[:_DIGITS]
