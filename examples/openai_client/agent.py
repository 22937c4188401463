"""An agent as OpenAI's documentation writes it: a loop around chat completions."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import openai


def run_agent(
    client: openai.OpenAI,
    model: str,
    tools: Sequence[Callable[..., Any]],
    schemas: list[Any],
    instructions: str,
    message: str,
) -> str:
    """Answers a message, calling tools as often as the model asks for them."""
    known = {tool.__name__: tool for tool in tools}
    messages: list[Any] = [
        {"role": "system", "content": instructions},
        {"role": "user", "content": message},
    ]
    while True:
        completion = client.chat.completions.create(
            model=model, messages=messages, tools=schemas
        )
        answer = completion.choices[0].message
        messages.append(answer.model_dump(exclude_none=True))
        if not answer.tool_calls:
            return answer.content or ""
        for call in answer.tool_calls:
            try:
                arguments = json.loads(call.function.arguments)
                result = known[call.function.name](**arguments)
            except Exception as exc:  # noqa: BLE001 - the model is told
                result = f"error: {exc}"
            messages.append(
                {
                    "role": "tool",
                    "tool_call_id": call.id,
                    "content": json.dumps(result),
                }
            )
