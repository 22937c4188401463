"""One conversation with a tool, as many tools export it.

The samples follow the writers' own code and their specifications; no export of an
account is among them.
"""

import json
from typing import Any

SYSTEM, QUESTION, ANSWER = "Be brief.", "Weather in Paris? I am ada@mail.org", "57F."
ARGUMENTS, RESULT = {"city": "Paris", "to": "ada@mail.org"}, "rainy, 57F"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "to": {"type": "string"}},
    "required": ["city"],
}
TOOL = {"name": "get_weather", "description": "Now.", "parameters": PARAMETERS}
OPENAI_TOOL = {"type": "function", "function": TOOL}
CALLED = {"name": "get_weather", "arguments": json.dumps(ARGUMENTS)}
CALL = {"id": "call_1", "type": "function", "function": CALLED}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
]
REPLY = {"role": "assistant", "content": ANSWER}


# OpenAI's own.

OPENAI = {
    "fine-tuning": [{"messages": [*MESSAGES, REPLY], "tools": [OPENAI_TOOL]}],
    "list": [[*MESSAGES, REPLY]],
    "logged": [
        {
            "id": "one",
            "request": {"messages": MESSAGES, "tools": [OPENAI_TOOL]},
            "response": {"choices": [{"index": 0, "message": REPLY}]},
        }
    ],
    "batch": [
        {
            "custom_id": "one",
            "messages": MESSAGES,
            "tools": [OPENAI_TOOL],
            "response": {"body": {"choices": [{"message": REPLY}]}},
        }
    ],
}


# OpenTelemetry.


def _parts(kind: str = "response", id_: Any = "call_1") -> list[dict[str, Any]]:
    call = {"type": "tool_call", "id": id_, "name": "get_weather"}
    result = {"type": "tool_call_response", "id": id_, kind: RESULT}
    return [
        {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
        {"role": "assistant", "parts": [{**call, "arguments": ARGUMENTS}]},
        {"role": "tool" if kind == "response" else "user", "parts": [result]},
    ]


_ANSWERED = [
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "Hm."},
            {"type": "text", "content": ANSWER},
        ],
        "finish_reason": "stop",
    }
]


def otlp_value(value: Any, *, snake: bool = False) -> dict[str, Any]:
    def named(kind: str) -> str:
        return kind.replace("Value", "_value") if snake else kind

    if isinstance(value, list):
        values = [otlp_value(each, snake=snake) for each in value]
        return {named("arrayValue"): {"values": values}}
    if isinstance(value, dict):
        pairs = [{"key": k, "value": otlp_value(v)} for k, v in value.items()]
        return {named("kvlistValue"): {"values": pairs}}
    if isinstance(value, int):
        return {named("intValue"): str(value)}
    return {named("stringValue"): value}


def otlp(attributes: dict[str, Any], *, snake: bool = False, **more: Any) -> Any:
    """A document with one span, and one that is no model call."""
    pairs = [
        {"key": k, "value": otlp_value(v, snake=snake)} for k, v in attributes.items()
    ]
    trace, time = (
        ("trace_id", "start_time_unix_nano")
        if snake
        else (
            "traceId",
            "startTimeUnixNano",
        )
    )
    span = {trace: "t1", time: "17", "name": "chat", "attributes": pairs, **more}
    other = {trace: "t1", time: "18", "name": "work", "attributes": []}
    if snake:
        return {"next_cursor": None, "data": [span, other]}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [other, span]}]}]}


def _event(name: str, **attributes: Any) -> dict[str, Any]:
    pairs = [{"key": k, "value": otlp_value(v)} for k, v in attributes.items()]
    return {"name": name, "attributes": pairs}


def _content(**body: Any) -> dict[str, Any]:
    return {"gen_ai.event.content": json.dumps(body)}


_NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
    "gen_ai.input.messages": json.dumps(_parts()),
    "gen_ai.output.messages": json.dumps(_ANSWERED),
    "gen_ai.tool.definitions": json.dumps([{"type": "function", **TOOL}]),
}
_FLAT_CALL = "llm.input_messages.2.message.tool_calls.0.tool_call"
_FLAT = {
    "openinference.span.kind": "LLM",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": SYSTEM,
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": QUESTION,
    "llm.input_messages.2.message.role": "assistant",
    f"{_FLAT_CALL}.id": "call_1",
    f"{_FLAT_CALL}.function.name": "get_weather",
    f"{_FLAT_CALL}.function.arguments": json.dumps(ARGUMENTS),
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.content": RESULT,
    "llm.input_messages.3.message.tool_call_id": "call_1",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": ANSWER,
    "llm.tools.0.tool.json_schema": json.dumps(OPENAI_TOOL),
}
OTLP = {
    "parts": [otlp(_NEW)],
    "structured": [
        otlp(
            _NEW
            | {
                "gen_ai.input.messages": _parts("result", ["run_1", "call_1"]),
                "gen_ai.output.messages": _ANSWERED,
            }
        )
    ],
    "snake case": [otlp(_NEW, snake=True)],
    "openai dicts": [
        otlp(
            {
                "gen_ai.input.messages": json.dumps(MESSAGES),
                "gen_ai.output.messages": json.dumps([REPLY]),
                "gen_ai.tool.definitions": json.dumps([OPENAI_TOOL]),
            }
        )
    ],
    "events with content": [
        otlp(
            {"gen_ai.operation.name": "chat"},
            events=[
                _event("gen_ai.system.message", **_content(content=SYSTEM)),
                _event(
                    "gen_ai.user.message", **_content(role="User", content=QUESTION)
                ),
                _event("gen_ai.assistant.message", **_content(tool_calls=[CALL])),
                _event("gen_ai.tool.message", **_content(content=RESULT, id="call_1")),
                _event(
                    "gen_ai.choice", **_content(index=0, message={"content": ANSWER})
                ),
            ],
        )
    ],
    "events with blocks": [
        otlp(
            {"gen_ai.system_instructions": [{"type": "text", "content": SYSTEM}]},
            events=[
                _event("gen_ai.user.message", content=json.dumps([{"text": QUESTION}])),
                _event(
                    "gen_ai.assistant.message",
                    content=json.dumps(
                        [
                            {
                                "toolUse": {
                                    "toolUseId": "call_1",
                                    "name": "get_weather",
                                    "input": ARGUMENTS,
                                }
                            }
                        ]
                    ),
                ),
                _event(
                    "gen_ai.tool.message",
                    content=json.dumps(
                        [
                            {
                                "toolResult": {
                                    "toolUseId": "call_1",
                                    "content": [{"text": RESULT}],
                                }
                            }
                        ]
                    ),
                ),
                _event("gen_ai.choice", message=json.dumps([{"text": ANSWER}])),
            ],
        )
    ],
    "numbered": [
        otlp(
            {
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": SYSTEM,
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": QUESTION,
                "gen_ai.prompt.2.role": "assistant",
                "gen_ai.prompt.2.tool_calls.0.id": "call_1",
                "gen_ai.prompt.2.tool_calls.0.name": "get_weather",
                "gen_ai.prompt.2.tool_calls.0.arguments": json.dumps(ARGUMENTS),
                "gen_ai.prompt.3.role": "tool",
                "gen_ai.prompt.3.content": RESULT,
                "gen_ai.prompt.3.tool_call_id": "call_1",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.content": ANSWER,
            }
        )
    ],
    "openinference": [otlp(_FLAT)],
}


# Phoenix.


def _dotted(message: dict[str, Any]) -> dict[str, Any]:
    made = {f"message.{key}": value for key, value in message.items() if value}
    calls = made.pop("message.tool_calls", None)
    if calls:
        made["message.tool_calls"] = [
            {
                "tool_call.id": call["id"],
                "tool_call.function.name": call["function"]["name"],
                "tool_call.function.arguments": call["function"]["arguments"],
            }
            for call in calls
        ]
    return made


_SPAN = {"name": "Chat", "span_kind": "LLM", "parent_id": None, "start_time": "2024"}
_ROW = _SPAN | {
    "context.trace_id": "t1",
    "attributes.llm.input_messages": [_dotted(message) for message in MESSAGES],
    "attributes.llm.output_messages": [_dotted(REPLY)],
    "attributes.llm.tools": [{"tool.json_schema": json.dumps(OPENAI_TOOL)}],
    "attributes.session.id": float("nan"),
}
_AGENT = _SPAN | {"span_kind": "AGENT", "context": {"trace_id": "t1"}, "attributes": {}}
_CONTEXT = {"context": {"trace_id": "t1", "span_id": "s1"}}
PHOENIX = {
    "rest": [{"data": [_AGENT, {**_SPAN, **_CONTEXT, "attributes": _FLAT}]}],
    "nested": [
        {
            **_SPAN,
            **_CONTEXT,
            "attributes": {
                "llm": {
                    "input_messages": [{"message": message} for message in MESSAGES],
                    "output_messages": [{"message": REPLY}],
                    "tools": [
                        {"tool": {"json_schema": PARAMETERS, "name": "get_weather"}}
                    ],
                }
            },
        }
    ],
    "rows": [_ROW],
    "columns": [{key: {"s1": value} for key, value in _ROW.items()}],
    "command line": [
        {"traceId": "t1", "spans": [{**_SPAN, **_CONTEXT, "attributes": _FLAT}]}
    ],
}


# LangSmith.


def _serialized(kind: str, content: str, **more: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", f"{kind}Message"]
    kwargs = {"content": content, "type": kind.lower(), **more}
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


_CALL_LC = {
    "name": "get_weather",
    "args": ARGUMENTS,
    "id": "call_1",
    "type": "tool_call",
}
_SERIALIZED = [
    _serialized("System", SYSTEM),
    _serialized("Human", QUESTION),
    _serialized("AI", "", tool_calls=[_CALL_LC]),
    _serialized("Tool", RESULT, tool_call_id="call_1"),
]
_BLOCKS = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    {
        "role": "assistant",
        "content": [
            {
                "type": "tool_use",
                "id": "call_1",
                "name": "get_weather",
                "input": ARGUMENTS,
            }
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": RESULT}
        ],
    },
]
_RUN = {"run_type": "llm", "trace_id": "t1", "start_time": "2024-04-29", "id": "r2"}
_CHAIN = {"run_type": "chain", "trace_id": "t1", "id": "r1", "start_time": "2024-04-28"}
_WITH_TOOLS = {"extra": {"invocation_params": {"tools": [OPENAI_TOOL]}}}
LANGSMITH = {
    "langchain": [
        _CHAIN,
        {
            **_RUN,
            **_WITH_TOOLS,
            "inputs": {"messages": [_SERIALIZED]},
            "outputs": {
                "generations": [
                    [{"text": ANSWER, "message": _serialized("AI", ANSWER)}]
                ]
            },
        },
    ],
    "flat": [
        {
            **_RUN,
            "inputs": {
                "messages": [
                    {"type": "system", "content": SYSTEM},
                    {"type": "human", "content": QUESTION},
                    {
                        "type": "ai",
                        "content": "",
                        "additional_kwargs": {"tool_calls": [CALL]},
                    },
                    {"type": "tool", "content": RESULT, "tool_call_id": "call_1"},
                ]
            },
            "outputs": {"message": {"type": "ai", "content": ANSWER}},
        }
    ],
    "openai": [
        {
            **_RUN,
            "inputs": {"messages": MESSAGES, "tools": [OPENAI_TOOL]},
            "outputs": {"choices": [{"message": REPLY}]},
        }
    ],
    "blocks": [
        {
            "runs": [
                {
                    **_CHAIN,
                    "child_runs": [
                        {
                            **_RUN,
                            "inputs": json.dumps({"messages": _BLOCKS}),
                            "outputs": {"messages": [REPLY]},
                        }
                    ],
                }
            ]
        }
    ],
}


# Langfuse.

_OBSERVATION = {"type": "GENERATION", "id": "o2", "startTime": "2024-05-30"}
_SPAN_OF = {"type": "SPAN", "id": "o1", "traceId": "t1", "startTime": "2024-05-29"}
_INPUT = {"messages": MESSAGES, "tools": [OPENAI_TOOL]}
LANGFUSE = {
    "observations": [
        _SPAN_OF,
        {**_OBSERVATION, "traceId": "t1", "input": _INPUT, "output": REPLY},
    ],
    "trace": [
        {
            "trace": {"id": "t1"},
            "observations": [
                {**_OBSERVATION, "traceId": "t1", "input": MESSAGES, "output": ANSWER}
            ],
        }
    ],
    "texts": [
        {
            "data": [
                {
                    **_OBSERVATION,
                    "traceId": "t1",
                    "input": json.dumps(_INPUT),
                    "output": json.dumps(REPLY),
                }
            ]
        }
    ],
    "blob": [
        {
            "type": "GENERATION",
            "trace_id": "t1",
            "start_time": "2024-05-30 10:00:00",
            "input": json.dumps(MESSAGES),
            "output": json.dumps([{"index": 0, "message": REPLY}]),
            "tool_definitions": {"get_weather": json.dumps(TOOL)},
        }
    ],
    "langchain": [
        {
            **_OBSERVATION,
            "traceId": "t1",
            "input": [
                *MESSAGES[:2],
                {"role": "assistant", "content": "", "tool_calls": [_CALL_LC]},
                MESSAGES[3],
                {"role": "tool", "content": OPENAI_TOOL},
            ],
            "output": REPLY,
        }
    ],
    "without ids": [
        {
            **_OBSERVATION,
            "traceId": "t1",
            "input": [
                *MESSAGES[:2],
                {"role": "assistant", "tool_calls": [{"function": CALLED}]},
                {"role": "tool", "content": RESULT},
            ],
            "output": REPLY,
        }
    ],
}

ALL = {
    "OpenAI messages": OPENAI,
    "OpenTelemetry GenAI spans (OTLP JSON)": OTLP,
    "OpenInference spans (Phoenix)": PHOENIX,
    "LangSmith runs": LANGSMITH,
    "Langfuse observations": LANGFUSE,
}
