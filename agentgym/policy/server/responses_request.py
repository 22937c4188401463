"""A request for OpenAI's Responses API as one for chat completions.

Nothing is kept between requests: each holds its whole conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentgym.policy.server.openai_http import BadRequestError
from agentgym.policy.server.openai_json import Json

_PASSED_ON = ("model", "temperature", "top_p", "parallel_tool_calls")
_STATE = ("previous_response_id", "conversation", "prompt")
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


def chat_request(body: Mapping[str, Any]) -> Json:
    """The request for /v1/chat/completions that a request for /v1/responses means.

    Whether the responses are to be stored makes no difference, as none can be asked
    for; fields that only concern OpenAI's own models are left out.

    Raises:
        BadRequestError: It asks for what is not possible here.
    """
    for name in _STATE:
        if body.get(name) is not None:
            raise BadRequestError(
                f"{name} is not kept here: send the whole input "
                "(some clients do with store=False)",
                param=name,
            )
    if body.get("background"):
        raise BadRequestError(
            "background is not possible here: leave it out and wait for the answer",
            param="background",
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
            raise BadRequestError(f"{where} is no object", param=where)
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
        raise BadRequestError(
            f"{where} has the type {kind!r}: only messages, function calls and their "
            "outputs can be read here",
            param=where,
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
            raise BadRequestError(
                f"{where} has content of the type {kind!r}: only text can be read here",
                param=where,
            )
        texts.append(text)
    return "".join(texts)


def _tool(where: str, tool: Any) -> Json:
    kind = tool.get("type") if isinstance(tool, Mapping) else type(tool).__name__
    if kind != "function":
        raise BadRequestError(
            f"{where} has the type {kind!r}: only function tools are possible here",
            param=where,
        )
    # The model sees these; "strict" says nothing to it.
    kept = ("name", "description", "parameters")
    function = {key: tool[key] for key in kept if tool.get(key) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind != "function":
        raise BadRequestError(
            f"tool_choice has the type {kind!r}: use none, auto, required or a "
            "function",
            param="tool_choice",
        )
    return {"type": "function", "function": {"name": choice.get("name")}}


def _response_format(form: Any) -> Json:
    if not isinstance(form, Mapping):
        raise BadRequestError("text.format is no object", param="text.format")
    if form.get("type") != "json_schema":
        return dict(form)
    inner = {key: value for key, value in form.items() if key != "type"}
    return {"type": "json_schema", "json_schema": inner}


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    given = body.get(name)
    if not isinstance(given, list):
        wanted = "a text or a list" if name == "input" else "a list"
        raise BadRequestError(f"{name} must be {wanted}", param=name)
    return given
