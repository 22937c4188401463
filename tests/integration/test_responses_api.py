"""OpenAI's Responses API and structured output, on a real server by real clients."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

pytest.importorskip("langchain_openai")
pytest.importorskip("llguidance")

import openai
from pydantic import BaseModel, ConfigDict, Field

from agentgym import Case
from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.server.process import PolicyProcess
from scenarios.customer_support.dialogues import tool_schemas
from scenarios.customer_support.helpdesk import Helpdesk
from scenarios.customer_support.language import INSTRUCTIONS, say

pytestmark = pytest.mark.slow

CASE = Case(index=0, seed=7, split="train")
TOOLS = [{"type": "function", **schema["function"]} for schema in tool_schemas()]


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: Literal["paid", "shipped", "lost"]
    days: int = Field(ge=0, le=30)


@pytest.fixture
def policy(embedded_server: PolicyProcess) -> PolicyProcess:
    return embedded_server


@pytest.fixture
def client(policy: PolicyProcess) -> Iterator[Any]:
    endpoint = policy.endpoint
    with openai.OpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
    ) as client:
        yield client


def asked(policy: PolicyProcess, **fields: Any) -> dict[str, Any]:
    desk = Helpdesk.of(CASE)
    question = say("track", CASE, desk.add_order("shipped"))
    common = {"model": policy.endpoint.model, "temperature": 0, "input": question}
    return common | {"instructions": INSTRUCTIONS} | fields


def test_a_tool_call_and_its_result(client: Any, policy: PolicyProcess) -> None:
    fields = asked(policy, tools=TOOLS)
    first = client.responses.create(**fields)
    assert first.status == "completed"
    [made] = first.output
    assert (made.type, made.name) == ("function_call", "track_shipment")
    order = json.loads(made.arguments)["order_id"]
    assert order in fields["input"]
    known = first.usage.input_tokens + first.usage.output_tokens
    assert first.usage.total_tokens == known
    desk = Helpdesk.of(CASE)
    desk.add_order("shipped")
    output = json.dumps(desk.track_shipment(order))
    items = [
        {"role": "user", "content": fields["input"]},
        made.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": made.call_id, "output": output},
    ]
    second = client.responses.create(**fields | {"input": items})
    assert second.output_text
    # The conversation's own tokens go on, and are computed already.
    assert second.usage.input_tokens_details.cached_tokens >= known - 1


def test_a_stream_is_told_as_the_sdk_expects_it(
    client: Any, policy: PolicyProcess
) -> None:
    fields = asked(policy)
    whole = client.responses.create(**fields)
    with client.responses.stream(**fields) as stream:
        deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
        last = stream.get_final_response()
    assert last.output_text == whole.output_text != ""
    assert len(deltas) > 1
    assert "".join(deltas) == whole.output_text
    assert last.usage.output_tokens == whole.usage.output_tokens
    called = list(client.responses.create(stream=True, tools=TOOLS, **fields))
    assert called[-1].type == "response.completed"
    [made] = called[-1].response.output
    assert (made.type, made.name) == ("function_call", "track_shipment")
    cut = list(client.responses.create(stream=True, max_output_tokens=2, **fields))
    assert cut[-1].type == "response.incomplete"


@pytest.mark.parametrize("streaming", [False, True])
def test_structured_output_in_either_api(
    client: Any, policy: PolicyProcess, streaming: bool
) -> None:
    fields = asked(policy, temperature=1.5)
    messages = [{"role": "user", "content": fields["input"]}]
    chat: Any = {"model": fields["model"], "temperature": 1.5, "messages": messages}
    if streaming:
        with client.responses.stream(text_format=Verdict, **fields) as stream:
            response = stream.get_final_response()
        with client.chat.completions.stream(response_format=Verdict, **chat) as chunks:
            completion = chunks.get_final_completion()
    else:
        response = client.responses.parse(text_format=Verdict, **fields)
        completion = client.chat.completions.parse(response_format=Verdict, **chat)
    assert isinstance(response.output_parsed, Verdict)
    assert isinstance(completion.choices[0].message.parsed, Verdict)
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_tool_call_or_an_answer_in_the_schema(
    client: Any, policy: PolicyProcess, choice: str, streaming: bool
) -> None:
    fields = asked(policy, tools=TOOLS, tool_choice=choice, text_format=Verdict)
    if streaming:
        with client.responses.stream(**fields) as stream:
            made = stream.get_final_response()
    else:
        made = client.responses.parse(**fields)
    if choice == "none":
        assert isinstance(made.output_parsed, Verdict)
    else:
        assert {item.type for item in made.output} == {"function_call"}


def test_a_cut_off_answer_says_so(client: Any, policy: PolicyProcess) -> None:
    made = client.chat.completions.create(
        model=policy.endpoint.model,
        messages=[{"role": "user", "content": "Hello!"}],
        response_format={"type": "json_object"},
        max_tokens=2,
    )
    [choice] = made.choices
    assert choice.finish_reason == "length"
    assert (choice.message.content or "").startswith("{")


def _schema(schema: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "name": "a", "schema": schema}
    return {"text": {"format": form}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id is not kept here: send the whole input",
        ),
        (
            {"tools": [{"type": "web_search"}]},
            "tools[0] has the type 'web_search': only function tools are possible here",
        ),
        (_schema(1), "response_format.json_schema.schema: Input should be an object"),
        (
            _schema({"type": "array", "uniqueItems": True}),
            'the schema cannot be kept to: Unimplemented keys: ["uniqueItems"]',
        ),
        ({"input": [], "instructions": None}, "messages is empty"),
        (
            {"text": {"format": {"type": "yaml"}}},
            "response_format.type: Input should be 'text', 'json_object' or",
        ),
    ],
)
def test_what_is_not_possible_is_a_400(
    client: Any,
    policy: PolicyProcess,
    fields: dict[str, Any],
    sentence: str,
    stream: bool,
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(stream=stream, **asked(policy, **fields))
    body: Any = refused.value.body
    assert sentence in body["message"]


# OpenAI's agents, whose models use this API unless they are told not to.


def run_agent(
    endpoint: PolicyEndpoint, *, streamed: bool, tools: bool = True, **settings: Any
) -> Any:
    """The result of a question to an agent of the Agents SDK, and the calls it made."""
    agents = pytest.importorskip("agents")
    desk = Helpdesk.of(CASE)
    question = say("track", CASE, desk.add_order("shipped"))

    called: list[str] = []

    def as_json(tool: Callable[..., Any]) -> Any:
        @functools.wraps(tool)
        def call(*args: Any, **kwargs: Any) -> str:
            called.append(tool.__name__)
            return json.dumps(tool(*args, **kwargs))

        return agents.function_tool(call)

    async def run() -> Any:
        async with openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
        ) as client:
            agent = agents.Agent(
                name="support",
                instructions=INSTRUCTIONS,
                tools=[as_json(tool) for tool in desk.tools] if tools else [],
                model=agents.OpenAIResponsesModel(endpoint.model, client),
                model_settings=agents.ModelSettings(temperature=0),
                **settings,
            )
            config = agents.RunConfig(tracing_disabled=True)
            if not streamed:
                return await agents.Runner.run(agent, question, run_config=config)
            result = agents.Runner.run_streamed(agent, question, run_config=config)
            async for _ in result.stream_events():
                """The SDK checks them."""
            return result

    return asyncio.run(run()), called


@pytest.mark.parametrize("streamed", [False, True])
def test_openais_agents_call_tools(policy: PolicyProcess, streamed: bool) -> None:
    result, called = run_agent(policy.endpoint, streamed=streamed)
    assert called == ["track_shipment"]
    assert result.final_output
    assert result.context_wrapper.usage.requests == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_openais_agents_answer_in_a_form(policy: PolicyProcess, streamed: bool) -> None:
    result, _ = run_agent(
        policy.endpoint, streamed=streamed, tools=False, output_type=Verdict
    )
    assert isinstance(result.final_output, Verdict)
