"""OpenAI's Responses API, told in chat completions.

A request becomes one for /v1/chat/completions, and a completion, or the chunks of its
stream, becomes what a client of /v1/responses expects. Nothing is kept in between: each
request holds its whole conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_PASSED_ON = ("model", "temperature", "top_p", "parallel_tool_calls")
_STATE = ("previous_response_id", "conversation", "prompt")
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
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


class ResponsesError(ValueError):
    """The client's mistake; the text is one clear sentence.

    Attributes:
        param: The field that is wrong.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def chat_request(body: Mapping[str, Any]) -> Json:
    """The request for /v1/chat/completions that a request for /v1/responses means.

    Whether the responses are to be stored makes no difference, as none can be asked
    for; fields that only tell OpenAI's own models how to work are left out.

    Raises:
        ResponsesError: It asks for what is not possible here.
    """
    for name in _STATE:
        if body.get(name) is not None:
            raise ResponsesError(
                f"{name} is not kept here: send the whole input "
                "(some clients do with store=False)",
                name,
            )
    if body.get("background"):
        raise ResponsesError(
            "background is not possible here: leave it out and wait for the answer",
            "background",
        )
    chat: Json = {name: body[name] for name in _PASSED_ON if name in body}
    chat["messages"] = _messages(body)
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        tools = _list(body, "tools")
        chat["tools"] = [_tool(f"tools[{i}]", tool) for i, tool in enumerate(tools)]
    if body.get("tool_choice") is not None:
        chat["tool_choice"] = _tool_choice(body["tool_choice"])
    text = body.get("text")
    if isinstance(text, Mapping) and text.get("format") is not None:
        chat["response_format"] = _response_format(text["format"])
    if body.get("stream"):
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat


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
    found: Json = last["response"]
    return found


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


def encode(event: Mapping[str, Any]) -> bytes:
    """An event as it goes over the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


class ResponseStream:
    """Tells the chunks of a chat completion as the events of a response.

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
        item = self._open.told("in_progress")
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
        told = item.told(status)
        self._output.append(told)
        yield self._event(
            "response.output_item.done", output_index=item.index, item=told
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
    """An item of the output that is being told: a message, or a tool call."""

    id: str
    index: int
    text: str = ""
    """Of the message, or the arguments of the call."""
    call: int | None = None
    """Which of the tool calls it is."""
    call_id: str = ""
    name: str = ""

    def told(self, status: str) -> Json:
        told: Json = {"id": self.id, "status": status}
        if self.call is None:
            # No part is there before its text begins.
            begun = status != "in_progress"
            content = [_text_part(self.text)] if begun else []
            return told | {"type": "message", "role": "assistant", "content": content}
        return told | {
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


# Requests.


def _messages(body: Mapping[str, Any]) -> list[Json]:
    messages: list[Json] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for i, item in enumerate(_list(body, "input")):
        where = f"input[{i}]"
        if not isinstance(item, Mapping):
            raise ResponsesError(f"{where} is no object", where)
        _add_item(messages, item, where)
    return messages


def _add_item(messages: list[Json], item: Mapping[str, Any], where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role, content = item.get("role"), _text(item.get("content"), where)
        if role == "assistant" and _only_calls(messages):
            # Some clients give a reply's calls before its text.
            messages[-1]["content"] = content
        else:
            messages.append({"role": role, "content": content})
    elif kind == "function_call":
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        # One reply is one message, with all of its calls.
        messages[-1].setdefault("tool_calls", []).append(
            {
                "id": item.get("call_id"),
                "type": "function",
                "function": {
                    "name": item.get("name"),
                    "arguments": item.get("arguments", "{}"),
                },
            }
        )
    elif kind == "function_call_output":
        content = _text(item.get("output"), where)
        answer = {"role": "tool", "tool_call_id": item.get("call_id")}
        messages.append({**answer, "content": content})
    elif kind != "reasoning":
        raise ResponsesError(
            f"{where} has the type {kind!r}: only messages, function calls and their "
            "outputs can be read here",
            where,
        )


def _only_calls(messages: list[Json]) -> bool:
    last = messages[-1] if messages else {}
    return "tool_calls" in last and not last["content"]


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        text = None
        if kind in _TEXT_PARTS:
            text = part.get("text")
        elif kind == "refusal":
            text = part.get("refusal")
        if not isinstance(text, str):
            raise ResponsesError(
                f"{where} has content of the type {kind!r}: only text can be read here",
                where,
            )
        texts.append(text)
    return "".join(texts)


def _tool(where: str, tool: Any) -> Json:
    kind = tool.get("type") if isinstance(tool, Mapping) else type(tool).__name__
    if kind != "function":
        raise ResponsesError(
            f"{where} has the type {kind!r}: only function tools are possible here",
            where,
        )
    # The model sees these; "strict" tells it nothing.
    kept = ("name", "description", "parameters")
    function = {key: tool[key] for key in kept if tool.get(key) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind != "function":
        raise ResponsesError(
            f"tool_choice has the type {kind!r}: use none, auto, required or a "
            "function",
            "tool_choice",
        )
    return {"type": "function", "function": {"name": choice.get("name")}}


def _response_format(form: Any) -> Json:
    if not isinstance(form, Mapping):
        raise ResponsesError("text.format is no object", "text.format")
    if form.get("type") != "json_schema":
        return dict(form)
    inner = {key: value for key, value in form.items() if key != "type"}
    return {"type": "json_schema", "json_schema": inner}


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    if not isinstance(found, list):
        wanted = "a text or a list" if name == "input" else "a list"
        raise ResponsesError(f"{name} must be {wanted}", name)
    return found
