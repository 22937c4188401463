"""A chat completion, or the chunks of its stream, as OpenAI's Responses API has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.policy.server.openai_json import Json

_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}


def response(body: Mapping[str, Any], completion: Mapping[str, Any]) -> Json:
    """The whole response to a request.

    Args:
        body: The request for /v1/responses.
        completion: The answer of /v1/chat/completions.
    """
    [choice] = completion["choices"]
    delta = dict(choice["message"])
    calls = delta.get("tool_calls") or ()
    delta["tool_calls"] = [{**call, "index": i} for i, call in enumerate(calls)]
    chunk = {**completion, "choices": [{**choice, "delta": delta}]}
    *_, last = response_events(body, [chunk])
    whole: Json = last["response"]
    return whole


def response_events(
    body: Mapping[str, Any], chunks: Iterable[Mapping[str, Any]]
) -> Iterator[Json]:
    """The events of a streamed response.

    Args:
        body: The request for /v1/responses.
        chunks: The stream of /v1/chat/completions, its usage included.
    """
    stream = ResponseStream(body)
    for chunk in chunks:
        yield from stream.events(chunk)
    yield from stream.end()


class ResponseStream:
    """Turns the chunks of a chat completion into the events of a response.

    Args:
        body: The request for /v1/responses.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._count = 0
        self._head: Json = {}
        self._usage: Json | None = None
        self._reason: str | None = None
        self._output: list[Json] = []
        self._open: _Item | None = None
        self._failed = False

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Json]:
        """The events that a chunk makes; an error is the last chunk of a stream."""
        yield from self._start(chunk)
        if "error" in chunk:
            yield from self._fail(chunk["error"]["message"])
            return
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if delta.get("content"):
                yield from self._say(delta["content"])
            for call in delta.get("tool_calls") or ():
                yield from self._call(call)
            self._reason = choice.get("finish_reason") or self._reason

    def end(self) -> Iterator[Json]:
        """The events behind the last chunk."""
        if self._failed:
            return
        if not self._output and self._open is None:
            # Where nothing is called clients look for a message, be it empty.
            yield from self._say("")
        cut = self._reason == "length"
        status = "incomplete" if cut else "completed"
        yield from self._close(status)
        details = {"reason": "max_output_tokens"} if cut else None
        whole = self._response(status) | {
            "incomplete_details": details,
            "usage": _usage(self._usage),
        }
        yield self._event(f"response.{status}", response=whole)

    def _fail(self, message: str) -> Iterator[Json]:
        self._failed = True
        error = {"code": "server_error", "message": message}
        broken = self._response("failed") | {"error": error}
        yield self._event("response.failed", response=broken)

    def _start(self, chunk: Mapping[str, Any]) -> Iterator[Json]:
        if self._head:
            return
        key = str(chunk.get("id") or "").removeprefix("chatcmpl-")
        self._head = {
            "id": f"resp_{key}",
            "object": "response",
            "created_at": chunk.get("created"),
            "model": chunk.get("model"),
        }
        for kind in ("created", "in_progress"):
            begun = self._response("in_progress")
            yield self._event(f"response.{kind}", response=begun)

    def _say(self, text: str) -> Iterator[Json]:
        if self._open is None or self._open.call is not None:
            yield from self._begin(None)
            part = _text_part("")
            yield self._about_item("content_part.added", content_index=0, part=part)
        if text:
            yield self._more("output_text.delta", text, content_index=0, logprobs=[])

    def _call(self, call: Mapping[str, Any]) -> Iterator[Json]:
        if self._open is None or self._open.call != call["index"]:
            yield from self._begin(call)
        arguments = (call.get("function") or {}).get("arguments")
        if arguments:
            yield self._more("function_call_arguments.delta", arguments)

    def _begin(self, call: Mapping[str, Any] | None) -> Iterator[Json]:
        """Opens a message, or an item for a tool call."""
        yield from self._close("completed")
        key, index = self._head["id"].removeprefix("resp_"), len(self._output)
        kind = "msg" if call is None else "fc"
        self._open = _Item(id=f"{kind}_{key}_{index}", index=index)
        if call is not None:
            self._open.call = call["index"]
            self._open.call_id = call["id"]
            self._open.name = call["function"]["name"]
        item = self._open.as_json("in_progress")
        yield self._event("response.output_item.added", output_index=index, item=item)

    def _more(self, kind: str, text: str, **fields: Any) -> Json:
        assert self._open is not None
        self._open.text += text
        return self._about_item(kind, delta=text, **fields)

    def _close(self, status: str) -> Iterator[Json]:
        item = self._open
        if item is None:
            return
        if item.call is None:
            place = {"content_index": 0}
            yield self._about_item(
                "output_text.done", **place, text=item.text, logprobs=[]
            )
            part = _text_part(item.text)
            yield self._about_item("content_part.done", **place, part=part)
        else:
            yield self._about_item(
                "function_call_arguments.done", name=item.name, arguments=item.text
            )
        self._open = None
        whole = item.as_json(status)
        self._output.append(whole)
        yield self._event(
            "response.output_item.done", output_index=item.index, item=whole
        )

    def _about_item(self, kind: str, **fields: Any) -> Json:
        assert self._open is not None
        place = {"item_id": self._open.id, "output_index": self._open.index}
        return self._event(f"response.{kind}", **place, **fields)

    def _event(self, kind: str, **fields: Any) -> Json:
        self._count += 1
        return {"type": kind, "sequence_number": self._count - 1, **fields}

    def _response(self, status: str) -> Json:
        asked = {
            name: default if self._body.get(name) is None else self._body[name]
            for name, default in _ECHOED.items()
        }
        return {
            **self._head,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "previous_response_id": None,
            "store": False,
            "output": [*self._output],
            "usage": None,
            **asked,
        }


@dataclass(slots=True)
class _Item:
    """An item of the output that is being written: a message, or a tool call."""

    id: str
    index: int
    text: str = ""
    """Of the message, or the arguments of the call."""
    call: int | None = None
    """Which of the tool calls it is."""
    call_id: str = ""
    name: str = ""

    def as_json(self, status: str) -> Json:
        frame: Json = {"id": self.id, "status": status}
        if self.call is None:
            # No part is there before its text begins.
            begun = status != "in_progress"
            content = [_text_part(self.text)] if begun else []
            return frame | {"type": "message", "role": "assistant", "content": content}
        return frame | {
            "type": "function_call",
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.text,
        }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Mapping[str, Any] | None) -> Json | None:
    if usage is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or 0
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
