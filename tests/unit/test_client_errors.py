"""Whose fault an exception is, in whatever shape a client raises it."""

from __future__ import annotations

import asyncio
import http.client
import importlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from agentgym.recording.blame import Outcome, classify
from agentgym.recording.client_errors import error_status, is_servers, status_of

REFUSALS = (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 529)
THE_AGENTS = (400, 413, 422)


class Refusing(BaseHTTPRequestHandler):
    """Answers each request with the status that its path begins with."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b'{"error": {"message": "no", "type": "t", "code": "c"}}'
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as httpd:
        thread = Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


SAID = [{"role": "user", "content": "hi"}]


def stainless(name: str, client: str) -> Callable[[str], object]:
    def ask(url: str) -> object:
        made = getattr(importlib.import_module(name), client)(
            api_key="k", base_url=url, max_retries=0
        )
        if name == "anthropic":
            return made.messages.create(model="m", max_tokens=1, messages=SAID)
        return made.chat.completions.create(model="m", messages=SAID)

    return ask


def ask_cohere(url: str) -> object:
    cohere: Any = importlib.import_module("cohere")
    client = cohere.ClientV2(api_key="k", base_url=url)
    return client.chat(model="m", messages=SAID, request_options={"max_retries": 0})


def ask_mistral(url: str) -> object:
    mistral: Any = importlib.import_module("mistralai.client")
    return mistral.Mistral(api_key="k", server_url=url).chat.complete(
        model="m", messages=SAID
    )


def ask_ollama(url: str) -> object:
    ollama: Any = importlib.import_module("ollama")
    return ollama.Client(host=url).chat(model="m", messages=SAID)


def ask_hub(url: str) -> object:
    hub: Any = importlib.import_module("huggingface_hub")
    client = hub.InferenceClient(base_url=url, api_key="k")
    # Where the environment sets it, the client asks nobody.
    with mock.patch.object(hub.constants, "HF_HUB_OFFLINE", False):
        return client.chat_completion(messages=SAID)


def ask_bedrock(url: str) -> object:
    session: Any = importlib.import_module("botocore.session")
    config: Any = importlib.import_module("botocore.config")
    client = session.get_session().create_client(
        "bedrock-runtime",
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        endpoint_url=url,
        config=config.Config(retries={"total_max_attempts": 1}),
    )
    said = [{"role": "user", "content": [{"text": "hi"}]}]
    return client.converse(modelId="m", messages=said)


def post(name: str) -> Callable[[str], object]:
    def ask(url: str) -> object:
        return importlib.import_module(name).post(url).raise_for_status()

    return ask


def ask_aiohttp(url: str) -> object:
    aiohttp: Any = importlib.import_module("aiohttp")

    async def ask() -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.post(url)

    return asyncio.run(ask())


def ask_urllib(url: str) -> object:
    import urllib.request

    return urllib.request.urlopen(url, b"")


CLIENTS: dict[str, tuple[str, Callable[[str], object]]] = {
    "openai": ("openai", stainless("openai", "OpenAI")),
    "anthropic": ("anthropic", stainless("anthropic", "Anthropic")),
    "groq": ("groq", stainless("groq", "Groq")),
    "together": ("together", stainless("together", "Together")),
    "cohere": ("cohere", ask_cohere),
    "mistral": ("mistralai", ask_mistral),
    "ollama": ("ollama", ask_ollama),
    "huggingface_hub": ("huggingface_hub", ask_hub),
    "botocore": ("botocore", ask_bedrock),
    "httpx": ("httpx", post("httpx")),
    "httpx2": ("httpx2", post("httpx2")),
    "requests": ("requests", post("requests")),
    "aiohttp": ("aiohttp", ask_aiohttp),
    "urllib": ("urllib", ask_urllib),
}
"""By client: what it needs, and what asks a server that refuses."""


def raised(client: str, url: str) -> Exception:
    needs, ask = CLIENTS[client]
    pytest.importorskip(needs)
    try:
        ask(url)
    except Exception as exc:  # noqa: BLE001 - whatever the client raises
        return exc
    raise AssertionError(f"{client} raised nothing")


def judged(exc: BaseException, *, asking: bool = True) -> Outcome:
    return classify(exc, asking=lambda _: asking)


@pytest.mark.slow  # they take seconds to import
@pytest.mark.parametrize("client", CLIENTS)
def test_the_status_of_each_installed_clients_refusal_is_read(
    client: str, server: str
) -> None:
    for status in (*REFUSALS, *THE_AGENTS):
        exc = raised(client, f"{server}/{status}")
        assert status_of(exc) == status, (exc, vars(exc))
        infra = judged(exc) is Outcome.infra_error
        assert infra is (status in REFUSALS), exc


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_connection_of_each_installed_client_is_infrastructure(
    client: str,
) -> None:
    exc = raised(client, "http://127.0.0.1:9")
    assert judged(exc) is Outcome.infra_error, exc


def foreign(module: str, name: str, /, **fields: Any) -> Exception:
    """An exception in the shape of a client that may not be installed."""
    made: Exception = type(name, (Exception,), {"__module__": module})("no")
    vars(made).update(fields)
    return made


def of_bedrock(status: Any, code: str = "X") -> Exception:
    response = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return foreign("botocore.exceptions", "ClientError", response=response)


def of_grpc(name: str) -> Exception:
    code = SimpleNamespace(name=name, value=(14, name.lower()))
    return foreign("grpc._channel", "_InactiveRpcError", code=lambda: code)


def response(status: int) -> Any:
    return SimpleNamespace(status_code=status)


SHAPES: dict[str, Callable[[int], Exception]] = {
    "anthropic": lambda s: foreign("anthropic", "APIStatusError", status_code=s),
    "groq": lambda s: foreign("groq", "APIStatusError", status_code=s),
    "litellm": lambda s: foreign("litellm.exceptions", "APIError", status_code=s),
    "cohere": lambda s: foreign("cohere.core.api_error", "ApiError", status_code=s),
    "mistral": lambda s: foreign(
        "mistralai.client.errors.sdkerror", "SDKError", status_code=s
    ),
    "mistral unread": lambda s: foreign(
        "mistralai.models", "SDKError", raw_response=response(s)
    ),
    "google-genai": lambda s: foreign(
        "google.genai.errors", "ClientError", code=s, status="A_NAME"
    ),
    "google-api-core": lambda s: foreign(
        "google.api_core.exceptions", "GoogleAPICallError", code=s
    ),
    "azure": lambda s: foreign("azure.core.exceptions", "E", response=response(s)),
    "bedrock": of_bedrock,
    "of a user": lambda s: foreign("shop.model", "ModelError", http_status=s),
    "as text": lambda s: foreign("shop.model", "ModelError", code=str(s)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [*REFUSALS, *THE_AGENTS])
def test_the_status_is_read_from_each_shape(shape: str, status: int) -> None:
    exc = SHAPES[shape](status)
    assert status_of(exc) == status
    infra = judged(exc) is Outcome.infra_error
    assert infra is (status in REFUSALS)


@pytest.mark.parametrize(
    ("exc", "infra"),
    [
        (of_bedrock(None, "ThrottlingException"), True),
        (of_bedrock(None, "ValidationException"), False),
        (of_grpc("UNAVAILABLE"), True),
        (of_grpc("RESOURCE_EXHAUSTED"), True),
        (of_grpc("INVALID_ARGUMENT"), False),
        (foreign("google.genai.errors", "ServerError", status="UNAVAILABLE"), True),
        # It answered, and its client could not use that.
        (foreign("openai", "APIResponseValidationError", status_code=200), True),
        (foreign("aiohttp.client_exceptions", "ContentTypeError", status=200), True),
        (foreign("botocore.exceptions", "NoCredentialsError"), True),
        (foreign("botocore.exceptions", "ConnectionError"), True),
        (foreign("google.auth.exceptions", "RefreshError"), True),
        (http.client.IncompleteRead(b""), True),
        (TimeoutError("late"), True),
        (TimeoutError(), True),
        (ValueError("429"), False),
        (KeyError("status"), False),
    ],
    ids=repr,
)
def test_other_ways_to_say_it(exc: Exception, infra: bool) -> None:
    assert (judged(exc) is Outcome.infra_error) is infra


@pytest.mark.parametrize(
    ("exc", "infra"),
    [
        # Nobody but a model's server says these.
        (foreign("openai", "NotFoundError", status_code=404), True),
        (foreign("google.genai.errors", "ClientError", code=401), True),
        # Anybody says these.
        (foreign("httpx", "HTTPStatusError", response=response(404)), False),
        (of_bedrock(403), False),
        (TimeoutError("late"), False),
        (foreign("httpx", "HTTPStatusError", response=response(503)), True),
        (ConnectionResetError(), True),
    ],
    ids=repr,
)
def test_outside_of_the_agent_only_a_models_client_says_it(
    exc: Exception, infra: bool
) -> None:
    assert (judged(exc, asking=False) is Outcome.infra_error) is infra


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_tool_is_refused_is_the_agents(shape: str) -> None:
    exc = SHAPES[shape](429)
    given = {"from_tool": lambda link: link is exc, "asking": lambda _: True}
    assert classify(exc, **given) is Outcome.failed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "503"}, 503),
        ({"message": "no", "type": "server_error", "code": None}, 500),
        ({"type": "tokens", "code": "rate_limit_exceeded"}, 500),
        ({"type": "overloaded_error"}, 500),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"type": "invalid_request_error", "code": "context_length_exceeded"}, 400),
        ({"code": 400}, 400),
        ("busy", 500),
        (None, 500),
    ],
)
def test_an_error_in_a_body_stands_for_a_status(error: Any, status: int) -> None:
    assert error_status(error) == status


@pytest.mark.parametrize("client", ["openai", "groq", "together", "anthropic"])
@pytest.mark.parametrize(
    ("body", "infra"),
    [
        ({"code": "rate_limit_exceeded", "type": "tokens"}, True),
        ({"code": None, "type": "server_error"}, True),
        (None, True),
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, False),
    ],
)
def test_an_error_event_of_a_stream_is_the_servers(
    client: str, body: Any, infra: bool
) -> None:
    exc = foreign(client, "APIError", body=body, code=None)
    assert is_servers(exc, asking=False) is infra
