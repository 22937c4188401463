import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import UsageError
from agentgym.policy.server.process import PolicyProcess, healthy, shared
from agentgym.policy.trained.resolve import Local, Remote, resolve
from tests.tiny_policy import TOOLS, conversation, make_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("policy") / "tiny")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PolicyProcess]:
    process = PolicyProcess.start(folder)
    yield process
    process.stop()
    assert not process.alive()


def request(
    endpoint: PolicyEndpoint, path: str, body: Any = None, method: str = "POST"
) -> tuple[int, str]:
    host = endpoint.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        data = body if isinstance(body, str) else json.dumps(body)
        key = {"Authorization": f"Bearer {endpoint.api_key}"}
        connection.request(method, path, None if method == "GET" else data, key)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def chat(server: PolicyProcess, **fields: Any) -> dict[str, Any]:
    body = {"messages": conversation(), "max_tokens": 8} | fields
    status, text = request(server.endpoint, "/v1/chat/completions", body)
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_below_any_a_model_may_be_called_anything(server: PolicyProcess) -> None:
    body = {"messages": conversation(), "max_tokens": 2, "model": "gpt-9"}
    status, text = request(server.endpoint, "/any/v1/chat/completions", body)
    assert (status, json.loads(text)["model"]) == (200, server.endpoint.model)


def test_a_chat_completion_in_vllm_s_dialect(server: PolicyProcess) -> None:
    answer = chat(
        server,
        tools=TOOLS,
        seed=3,
        ignore_eos=True,
        logprobs=True,
        top_logprobs=2,
        return_token_ids=True,
        some_future_field=1,
    )
    choice = answer["choices"][0]
    assert answer["model"] == "tiny"
    assert choice["finish_reason"] == "length"
    assert choice["message"]["role"] == "assistant"
    assert len(choice["token_ids"]) == len(choice["logprobs"]["content"]) == 8
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(answer["prompt_token_ids"])
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    again = chat(server, tools=TOOLS, seed=3, ignore_eos=True, return_token_ids=True)
    assert again["choices"][0]["token_ids"] == choice["token_ids"]


def test_a_conversation_keeps_its_exact_tokens(server: PolicyProcess) -> None:
    first = chat(server, tools=TOOLS, return_token_ids=True, tool_choice="required")
    reply = first["choices"][0]["message"]
    messages = [*conversation(), reply, {"role": "user", "content": "And now?"}]
    second = chat(server, tools=TOOLS, messages=messages, return_token_ids=True)
    known = first["prompt_token_ids"] + first["choices"][0]["token_ids"]
    assert second["prompt_token_ids"][: len(known)] == known
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= len(known) - 1


def test_a_stream_says_what_the_whole_reply_says(server: PolicyProcess) -> None:
    fields = {"seed": 11, "ignore_eos": True, "max_tokens": 24, "temperature": 0.3}
    whole = chat(server, **fields)["choices"][0]["message"]["content"]
    body = {"messages": conversation(), "stream": True, **fields}
    body["stream_options"] = {"include_usage": True}
    status, text = request(server.endpoint, "/v1/chat/completions", body)
    assert status == 200
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert "".join(d.get("content") or "" for d in deltas) == whole
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 24


def test_a_forced_call_is_a_tool_call(server: PolicyProcess) -> None:
    choice = {"type": "function", "function": {"name": "issue_refund"}}
    fields = {"tools": TOOLS, "tool_choice": choice, "seed": 1, "ignore_eos": True}
    message = chat(server, **fields)["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "issue_refund"
    assert isinstance(call["function"]["arguments"], str)
    body = {"messages": conversation(), "stream": True, "max_tokens": 8, **fields}
    _, text = request(server.endpoint, "/v1/chat/completions", body)
    assert '"tool_calls":[{"index":0,"id":"call_' in text
    assert "<tool_call>" not in text


def test_wishes_that_shape_the_distribution(server: PolicyProcess) -> None:
    fields = {"seed": 4, "ignore_eos": True, "max_tokens": 12}
    fields["return_token_ids"] = True

    def ids(**wishes: object) -> list[int]:
        found: list[int] = chat(server, **fields, **wishes)["choices"][0]["token_ids"]
        return found

    greedy = ids(temperature=0)
    assert ids(top_k=1) == greedy
    assert ids(min_p=1) == greedy
    assert ids(top_k=-1, min_p=0, presence_penalty=0, best_of=None) == ids()
    wanted = ids()[0]
    assert ids(logit_bias={wanted: 100}, temperature=0) == [wanted] * 12
    # A bias towards one token, until saying it again costs more than that.
    biased = ids(logit_bias={wanted: 20}, presence_penalty=2, temperature=0)
    assert biased[0] == wanted
    assert len(set(ids(frequency_penalty=2, repetition_penalty=2, top_k=1))) > 6


def test_stop_strings_end_the_text(server: PolicyProcess) -> None:
    fields = {"seed": 4, "ignore_eos": True, "max_tokens": 40}
    text = chat(server, **fields)["choices"][0]["message"]["content"]
    stop = next(text[i] for i in range(3, len(text)) if text[i].isalpha())
    cut = chat(server, stop=[stop], **fields)["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert (cut["message"]["content"] or "") == text[: text.index(stop)].strip()


def test_plain_completions(server: PolicyProcess) -> None:
    for prompt in ("hello", [20, 30, 40]):
        body = {"prompt": prompt, "max_tokens": 4, "logprobs": 1, "ignore_eos": True}
        status, text = request(server.endpoint, "/v1/completions", body)
        choice = json.loads(text)["choices"][0]
        assert (status, len(choice["logprobs"]["token_logprobs"])) == (200, 4)


def test_models_and_health(server: PolicyProcess, folder: Path) -> None:
    status, text = request(server.endpoint, "/v1/models", method="GET")
    assert (status, json.loads(text)["data"][0]["id"]) == (200, "tiny")
    assert healthy(server.endpoint)
    url, key = server.endpoint.base_url, server.endpoint.api_key
    with pytest.raises(UsageError, match="401 Unauthorized: give its key in AGENTGYM_"):
        resolve(url)
    found = resolve(url, api_key=key)
    assert isinstance(found, Remote)
    assert found.endpoint.model == "tiny"
    assert resolve(str(folder)) == Local(folder)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ("{", 400, "the body is not JSON"),
        ({}, 400, "messages: Field required"),
        ({"messages": []}, 400, "messages is empty"),
        ({"messages": [{"role": "boss"}]}, 400, "the unknown role 'boss'"),
        ({"messages": conversation(), "n": 2}, 400, "n must be 1"),
        ({"messages": conversation(), "temperature": -1}, 400, "temperature: "),
        ({"messages": conversation(), "max_tokens": 0}, 400, "max_tokens: "),
        ({"messages": conversation(), "stop": [""]}, 400, "an empty string"),
        ({"messages": conversation(), "best_of": 3}, 400, "best_of is not supported"),
        ({"messages": conversation(), "functions": [{}]}, 400, "functions is not"),
        ({"messages": conversation(), "min_p": 2}, 400, "min_p: "),
        (
            {"messages": conversation(), "logit_bias": {"999999": 1}},
            400,
            "logit_bias has the token id 999999, outside 0..",
        ),
        ({"messages": conversation(), "model": "gpt"}, 404, "'gpt' does not exist"),
        (
            {"messages": conversation(), "tools": [*TOOLS, TOOLS[0]]},
            400,
            "two tools are called 'lookup_order': give one another name",
        ),
        (
            {"messages": conversation(), "tools": [{"type": "function"}]},
            400,
            "tools[0] has no function.name",
        ),
        (
            {"messages": [{"role": "user", "content": "x " * 3000}]},
            400,
            "but the context of 'tiny' holds 2048",
        ),
        (
            {"messages": conversation(), "tool_choice": "required"},
            400,
            "the request has no tools",
        ),
    ],
)
def test_bad_requests_get_a_sentence(
    server: PolicyProcess, body: Any, status: int, sentence: str
) -> None:
    got, text = request(server.endpoint, "/v1/chat/completions", body)
    error = json.loads(text)["error"]
    assert got == status
    assert sentence in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_client_that_goes_away_frees_its_place(server: PolicyProcess) -> None:
    host, port = server.endpoint.base_url.split("/")[2].split(":")
    body = json.dumps(
        {"messages": conversation(), "max_tokens": 1900, "ignore_eos": True}
    )
    with socket.create_connection((host, int(port))) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
        head += f"Authorization: Bearer {server.endpoint.api_key}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        _wait_until(lambda: _running(server.endpoint) == 1)
    _wait_until(lambda: _running(server.endpoint) == 0)


def _running(endpoint: PolicyEndpoint) -> int:
    _, text = request(endpoint, "/health", method="GET")
    running: int = json.loads(text)["running"]
    return running


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_many_at_once(server: PolicyProcess) -> None:
    answers: list[dict[str, Any]] = []

    def one(i: int) -> None:
        messages = conversation(f"Order {i}")
        answers.append(chat(server, messages=messages, tools=TOOLS, ignore_eos=True))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a["usage"]["completion_tokens"] for a in answers] == [8] * 24


def test_langchain_talks_to_it(server: PolicyProcess) -> None:
    openai = pytest.importorskip("langchain_openai")
    with http_client() as client:
        model = openai.ChatOpenAI(
            base_url=server.endpoint.base_url,
            api_key=server.endpoint.api_key,
            model=server.endpoint.model,
            max_tokens=8,
            # LangChain raises when the arguments happen to be a mere number.
            seed=1,
            http_client=client,
        ).bind_tools(TOOLS, tool_choice="issue_refund")
        reply = model.invoke("Refund A17")
    named = [*reply.tool_calls, *reply.invalid_tool_calls]
    assert [call["name"] for call in named] == ["issue_refund"]


def http_client() -> Any:
    return pytest.importorskip("httpx").Client()


def test_a_bad_model_gets_the_server_s_own_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no model folder: it has no config\.json"):
        PolicyProcess.start(tmp_path)


def test_it_ignores_ctrl_c_and_ends_with_its_owner(
    folder: Path, tmp_path: Path
) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = shared(folder, tmp_path, exit_with=owner.pid)
    again = shared(folder, tmp_path, exit_with=owner.pid)
    assert again == server
    endpoint = server.endpoint
    _, text = request(endpoint, "/health", method="GET")
    assert json.loads(text)["pid"] == server.pid
    os.kill(server.pid, signal.SIGINT)
    time.sleep(0.2)
    assert healthy(endpoint)
    owner.communicate(b"\n")
    _wait_until(lambda: not healthy(endpoint))


def test_it_stops_at_once_while_it_answers(folder: Path) -> None:
    process = PolicyProcess.start(folder)
    body = {"messages": conversation(), "max_tokens": 1900, "ignore_eos": True}
    failed = threading.Event()

    def ask() -> None:
        # Whoever waited for the answer would see it here.
        try:
            if request(process.endpoint, "/v1/chat/completions", body)[0] != 200:
                failed.set()
        except (OSError, http.client.HTTPException):
            failed.set()

    thread = threading.Thread(target=ask)
    thread.start()
    _wait_until(lambda: _running(process.endpoint) == 1)
    process.stop()
    assert process._process.returncode == 0
    thread.join()
    assert failed.is_set()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/models is not reachable"),
        ("no/such/folder", "neither an existing folder nor an http"),
        ("long" * 80, "neither an existing folder nor an http"),
    ],
)
def test_specs_that_lead_nowhere(spec: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        resolve(spec)
