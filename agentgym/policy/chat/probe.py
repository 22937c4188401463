"""Finds a model's dialect: a conversation with a call is rendered, and read back.

Names say little about a model: a folder can be called anything, and a family changes
its format from one version to the next. What its own template writes is what it was
trained on. So a small conversation goes through the template, and the format is the one
that reads from it the call which was put in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.chat.dialect import Dialect, common_length, schemas
from agentgym.policy.chat.formats.found import CallFormat
from agentgym.policy.chat.formats.harmony import HarmonyCalls
from agentgym.policy.chat.formats.known import FORMATS
from agentgym.policy.chat.message_shape import Message, shapes
from agentgym.policy.chat.prompt_messages import PromptError
from agentgym.policy.chat.thoughts import Channels, HarmonyChannels, find_thoughts
from agentgym.policy.chat.time_limit import time_limit

_NAME, _RESULT, _THOUGHT = "agentgym_probe", "AGENTGYMRESULT", "AGENTGYMTHOUGHT"
_ARGUMENTS = {"place": "Agentgymville", "count": 3}
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Where."},
                "count": {"type": "integer", "description": "How many."},
            },
            "required": ["place", "count"],
        },
    },
}
_USER: Message = {"role": "user", "content": "hello"}
_CALL: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call_000000000000000000000000",
            "type": "function",
            "function": {"name": _NAME, "arguments": _ARGUMENTS},
        }
    ],
}
_TOOL_RESULT: Message = {
    "role": "tool",
    "content": _RESULT,
    "tool_call_id": "call_000000000000000000000000",
}
_HARMONY = "<|channel|>"
PROBE_SECONDS = 60.0
"""All that a probe renders takes milliseconds; a machine may be busy."""


def find_dialect(
    tokenizer: Any, where: str, *, defaults: Mapping[str, Any] | None = None
) -> Dialect:
    """How a tokenizer's chat template writes tools, calls and results.

    Args:
        tokenizer: A Hugging Face tokenizer.
        where: What the model is called in error messages.
        defaults: Variables of the template, such as `enable_thinking`.

    Raises:
        UsageError: The template is missing, drops tools or results, writes calls in a
            way that is not known here, or does not end.
    """
    try:
        with time_limit(PROBE_SECONDS):
            return _find(tokenizer, where, dict(defaults or {}))
    except TimeoutError:
        raise UsageError(
            f"{where}: its chat template did not render a conversation of three "
            f"messages within {PROBE_SECONDS:g} s: it loops, or is not meant to be used"
        ) from None


def _find(tokenizer: Any, where: str, defaults: dict[str, Any]) -> Dialect:
    template = _template(tokenizer, where)
    written = ""
    lost = ""
    dropped = False
    for shape in shapes():
        for channels, formats in _kinds(template):
            made = Dialect(
                tokenizer=tokenizer,
                calls=formats[0],
                channels=channels,
                shape=shape,
                template=template,
                defaults=defaults,
            )
            try:
                reply = _reply(made)
                known, read = next(
                    (f, text)
                    for text in (reply, _without_end(made, reply))
                    for f in formats
                    if _reads(replace(made, calls=f), text)
                )
                result = made.render(
                    [_USER, _CALL, _TOOL_RESULT], [_TOOL], generation=True
                )
            except PromptError as error:
                lost = lost or str(error)
                continue
            except StopIteration:
                written = written or reply
                continue
            if _RESULT in result:
                made = _with_example(replace(made, calls=known), read, reply, result)
                return _with_thoughts(made)
            dropped = True
    if dropped:
        written, lost = "", "it drops what a tool returned"
    raise UsageError(_refusal(template, where, written, lost))


def _template(tokenizer: Any, where: str) -> str:
    """The template for tools.

    Raises:
        UsageError: There is none.
    """
    given = tokenizer.chat_template
    if isinstance(given, Mapping):
        named = given.get("tool_use") or given.get("default")
        if not named:
            raise UsageError(
                f"{where} has the chat templates {', '.join(given)}, but none is "
                "called tool_use or default: name one so"
            )
        given = named
    if not given:
        raise UsageError(
            f"{where} has no chat template: "
            "use an instruction-tuned model that can call tools"
        )
    return str(given)


def _kinds(template: str) -> Iterator[tuple[Channels, tuple[CallFormat, ...]]]:
    if _HARMONY in template and "analysis" in template:
        yield HarmonyChannels(), (HarmonyCalls(),)
    yield find_thoughts(template), FORMATS


def _reply(dialect: Dialect) -> str:
    """What the template makes of the probe's call, as a model would write it.

    Raises:
        PromptError: The template refuses the messages.
    """
    begun = dialect.render([_USER], [_TOOL], generation=True)
    if _NAME not in begun:
        raise PromptError("it shows the model no tools")
    whole = dialect.render([_USER, _CALL], [_TOOL], generation=False)
    if whole.startswith(begun):
        return whole[len(begun) :]
    # The prompt may open a thought that the reply does not have. Marks stay whole.
    prompt, ids = dialect.encode(begun), dialect.encode(whole)
    return dialect.text(ids[common_length(prompt, ids) :])


def _reads(dialect: Dialect, reply: str) -> bool:
    """Whether the format gives back what was put in, and nothing beside it."""
    return any(_comes_back(dialect, reply, thinking) for thinking in (False, True))


def _comes_back(dialect: Dialect, reply: str, thinking: bool) -> bool:
    made = dialect.read(reply, thinking=thinking, tools=schemas([_TOOL]))
    calls = [found.call for found in made.calls]
    if len(calls) != 1 or calls[0] is None or calls[0].name != _NAME:
        return False
    if reply[slice(*made.said[0])].strip():
        return False
    try:
        return bool(json.loads(calls[0].arguments) == _ARGUMENTS)
    except ValueError:
        return False


def _without_end(dialect: Dialect, reply: str) -> str:
    """The reply without a token behind it."""
    text = reply.rstrip()
    last = dialect.text(dialect.encode(text)[-1:])
    return text.removesuffix(last) if last in dialect.added else reply


def _with_example(dialect: Dialect, read: str, reply: str, result: str) -> Dialect:
    """The dialect that knows its example of a call, and what is behind it.

    Args:
        dialect: The one that reads it.
        read: The reply as it was read.
        reply: With its end.
        result: The conversation with the tool's result behind it.
    """
    found = dialect.read(read).calls or dialect.read(read, thinking=True).calls
    example, behind = reply[: found[0].end], reply[found[0].end :]
    # Some templates write no end, but the beginning of what follows.
    following = result.rpartition(example)[2]
    return replace(dialect, example=example, after_call=behind.strip() or following)


def _with_thoughts(dialect: Dialect) -> Dialect:
    """The dialect that also knows where the template puts thoughts, and keeps them."""
    for key in ("reasoning_content", "reasoning", "thinking"):
        made = replace(dialect, shape=replace(dialect.shape, thoughts=key))
        thought: Message = {"reasoning_content": _THOUGHT}
        ends: tuple[list[Message], ...] = (
            [_CALL | thought, _TOOL_RESULT],
            [{"role": "assistant", "content": "So it is."} | thought, _USER],
        )
        kept = tuple(
            _THOUGHT in _rendered(made, [_USER, *messages]) for messages in ends
        )
        if any(kept):
            return replace(made, keeps_thoughts=(kept[0], kept[1]))
    return replace(dialect, keeps_thoughts=(False, False))


def _rendered(dialect: Dialect, messages: list[Message]) -> str:
    try:
        return dialect.render(messages, [_TOOL], generation=True)
    except PromptError:
        return ""


def _refusal(template: str, where: str, written: str, lost: str) -> str:
    if "tools" not in template:
        return (
            f"the chat template of {where} knows no tools: "
            "use a model that can call tools"
        )
    if written and _NAME in written:
        shown = " ".join(written.split())[:160]
        return (
            f"the chat template of {where} writes tool calls in a way that is not "
            f"known here: {shown!r}"
        )
    if written:
        lost = "it drops the calls of earlier replies"
    reason = lost.removeprefix("the model's chat template refuses these messages: ")
    return f"the chat template of {where} cannot be used for tool calls: {reason}"
