"""A small shop, and an agent with three tools for its orders."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest

import agentgym
from agentgym.endpoint import PolicyEndpoint
from agentgym.scenarios.cases import Case

INSTRUCTIONS = "You help the customers of a shop with their orders."
MOST_CALLS = 4
LONGEST_REPLY = 48


@dataclass
class Shop:
    """One order, and what was done to it."""

    order: int
    cost: int
    refunds: list[tuple[int, int]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)

    def look_up(self, order: int) -> dict[str, Any]:
        """Where an order is and what it cost."""
        return {"cost": self.cost} if order == self.order else {"error": "no order"}

    def refund(self, order: int, amount: int) -> dict[str, Any]:
        """Pay back an order."""
        self.refunds.append((order, amount))
        return {"refunded": amount}

    def cancel(self, order: int) -> dict[str, Any]:
        """End an order."""
        self.cancelled.append(order)
        return {"cancelled": order}

    @property
    def tools(self) -> list[Callable[..., Any]]:
        """What the agent may call."""
        return [self.look_up, self.refund, self.cancel]


def _schema(tool: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    """A tool as OpenAI's API takes it; all arguments are whole numbers."""
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "integer"} for argument in arguments},
        "required": list(arguments),
    }
    function = {"name": tool.__name__, "description": (tool.__doc__ or "").rstrip(".")}
    return {"type": "function", "function": function | {"parameters": parameters}}


SCHEMAS: list[Any] = [
    _schema(Shop.look_up, "order"),
    _schema(Shop.refund, "order", "amount"),
    _schema(Shop.cancel, "order"),
]


def _example(text: str, *calls: tuple[str, dict[str, int], str]) -> Iterator[Any]:
    """An earlier customer, whose calls show how they are written."""
    yield {"role": "user", "content": text}
    for name, arguments, result in calls:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": "call_0", "type": "function", "function": function}
        yield {"role": "assistant", "content": None, "tool_calls": [call]}
        yield {"role": "tool", "tool_call_id": "call_0", "content": result}
    yield {"role": "assistant", "content": "Done."}


def _cancelled(text: str, order: int) -> Iterator[Any]:
    call = "cancel", {"order": order}, f'{{"cancelled": {order}}}'
    return _example(text.format(order), call)


def _looked_up(text: str, order: int, cost: int) -> Iterator[Any]:
    return _example(text.format(order), _look_up(order, cost))


def _paid_back(text: str, order: int, amount: int) -> Iterator[Any]:
    return _example(text.format(amount, order), _refund(order, amount))


def _refunded(text: str, order: int, cost: int) -> Iterator[Any]:
    calls = _look_up(order, cost), _refund(order, cost)
    return _example(text.format(order), *calls)


def _look_up(order: int, cost: int) -> tuple[str, dict[str, int], str]:
    return "look_up", {"order": order}, f'{{"cost": {cost}}}'


def _refund(order: int, amount: int) -> tuple[str, dict[str, int], str]:
    arguments = {"order": order, "amount": amount}
    return "refund", arguments, f'{{"refunded": {amount}}}'


EXAMPLES = [
    *_looked_up("Has order {} come?", 8043, 31),
    *_cancelled("Cancel order {}.", 5120),
    *_paid_back("Pay back {} for order {}.", 2917, 24),
    *_refunded("Refund order {}.", 3366, 58),
    *_cancelled("Order {} is no longer needed.", 6704),
    *_paid_back("I am owed {} for order {}.", 4039, 65),
    *_looked_up("When does order {} come?", 1258, 77),
    *_refunded("Order {} is broken. Give me my money back.", 9481, 42),
]


def answer(
    client: openai.OpenAI, model: str, tools: list[Callable[..., Any]], message: str
) -> str:
    """Answers a message, calling tools as often as the model asks for them."""
    known = {tool.__name__: tool for tool in tools}
    messages: list[Any] = [
        {"role": "system", "content": INSTRUCTIONS},
        *EXAMPLES,
        {"role": "user", "content": message},
    ]
    for _ in range(MOST_CALLS):
        completion = client.chat.completions.create(
            model=model, messages=messages, tools=SCHEMAS, max_tokens=LONGEST_REPLY
        )
        reply = completion.choices[0].message
        messages.append(reply.model_dump(exclude_none=True))
        if not reply.tool_calls:
            return reply.content or ""
        for call in reply.tool_calls:
            try:
                arguments = json.loads(call.function.arguments)
                result = known[call.function.name](**arguments)
            except Exception as exc:  # noqa: BLE001 - the model is told
                result = {"error": str(exc)}
            content = json.dumps(result)
            messages.append(
                {"role": "tool", "tool_call_id": call.id, "content": content}
            )
    return ""


@pytest.fixture
def shop(case: Case) -> Shop:
    """A shop with an order of its own for each case."""
    return Shop(case.rng.randint(1000, 9999), case.rng.randint(10, 99))


@pytest.fixture
def agent(policy: PolicyEndpoint, shop: Shop) -> Iterator[Callable[[str], str]]:
    """The agent that is measured and trained."""
    tools = [agentgym.tool(each) for each in shop.tools]
    with openai.OpenAI(base_url=policy.base_url, api_key=policy.api_key) as client:
        yield functools.partial(answer, client, policy.model, tools)
