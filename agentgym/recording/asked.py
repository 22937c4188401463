"""What a model is asked by beside the conversation: its system prompt and its tools.

They are long, and the same in most calls: a call has their digests, and a run's folder
has each of them once. To find the digest again costs a comparison, not a hash.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentgym.recording.plain import jsonable
from agentgym.recording.trajectory import ModelCall, Trajectory

MOST_KNOWN = 64
"""Different lists of tools whose digests are remembered."""

MOST_TEXT = 200_000

Prompt = dict[str, Any]
"""A system prompt as `{"system": text}`, or tools as `{"tools": [...]}`."""

_texts: dict[str, str] = {}
_tools: list[tuple[list[Any], str, Prompt]] = []


def note_asked(
    trajectory: Trajectory,
    call: ModelCall,
    system: Sequence[str] = (),
    tools: Any = None,
    describe: Callable[[Any], Prompt] | None = None,
) -> None:
    """Notes by what a model call asks.

    Args:
        trajectory: Of the episode; it keeps what the digests are of.
        call: The model call.
        system: The texts of its system prompt.
        tools: As the framework has them.
        describe: Gives a tool's name, description and parameters; by default those
            of one in any of OpenAI's shapes, or Anthropic's.
    """
    text = "\n\n".join(part for part in system if part)
    if text:
        call.system = _digest_of_text(text)
        trajectory.prompts.setdefault(call.system, {"system": text[:MOST_TEXT]})
    if tools and isinstance(tools, list | tuple):
        call.tools, prompt = _known_tools(list(tools), describe or described)
        trajectory.prompts.setdefault(call.tools, prompt)


def described(tool: Any) -> Prompt:
    """A tool of a request: its name, description and parameters.

    Args:
        tool: In one of OpenAI's shapes, or Anthropic's.
    """
    function = _field(tool, "function") or tool
    name = _field(function, "name") or _field(tool, "type") or type(tool).__name__
    parameters = _field(function, "parameters") or _field(function, "input_schema")
    return told(name, _field(function, "description"), parameters)


def told(name: Any, description: Any, parameters: Any) -> Prompt:
    """A tool as a model reads of it.

    Args:
        name: Its name.
        description: What it is for.
        parameters: Their JSON schema.
    """
    return {
        "name": str(name),
        "description": str(description or ""),
        "parameters": jsonable(parameters),
    }


def _field(thing: Any, name: str) -> Any:
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def _digest_of_text(text: str) -> str:
    digest = _texts.get(text)
    if digest is None:
        if len(_texts) >= MOST_KNOWN:
            # As of an agent whose prompt has the time.
            _texts.clear()
        digest = _texts[text] = _digest(text)
    return digest


def _known_tools(
    tools: list[Any], describe: Callable[[Any], Prompt]
) -> tuple[str, Prompt]:
    # A copy: another thread may add to it.
    for known, digest, prompt in _tools[:]:
        if known == tools:
            return digest, prompt
    prompt = {"tools": [describe(tool) for tool in tools]}
    digest = _digest(json.dumps(prompt, sort_keys=True))
    # Dictionaries may be changed by whoever made them.
    kept = [copy.deepcopy(t) if isinstance(t, dict) else t for t in tools]
    _tools.insert(0, (kept, digest, prompt))
    del _tools[MOST_KNOWN:]
    return digest, prompt


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
