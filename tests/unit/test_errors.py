from __future__ import annotations

import socket
import ssl
import urllib.error
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from agentgym.errors import (
    AgentError,
    AgentGymError,
    EpisodeStopped,
    EpisodeTimeout,
    HarnessError,
    InfraError,
    SimulatorError,
    ToolCallLimit,
    UsageError,
)
from agentgym.recording.blame import Outcome, classify
from agentgym.recording.client_errors import is_servers
from agentgym.recording.recorder import Recorder


def foreign(module: str, name: str, base: type[Exception] = Exception) -> Any:
    """An exception class as another package defines it."""
    return type(name, (base,), {"__module__": module})


def http_error(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", code, "text", Message(), None)


def is_infra(exc: Exception, *, asking: bool = False) -> bool:
    return is_servers(exc, asking=asking)


class WithStatus(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__("status")
        vars(self).update(fields)


@pytest.mark.parametrize(
    ("exc", "outcome"),
    [
        (ValueError("x"), Outcome.failed),
        (AgentError("x"), Outcome.failed),
        (EpisodeTimeout("x"), Outcome.failed),
        (ToolCallLimit("x"), Outcome.failed),
        (InfraError("x"), Outcome.infra_error),
        (HarnessError("x"), Outcome.harness_error),
        (SimulatorError("x"), Outcome.simulator_error),
        (ConnectionRefusedError("x"), Outcome.infra_error),
        (TimeoutError("x"), Outcome.failed),
        (socket.gaierror("x"), Outcome.infra_error),
        (ssl.SSLError("x"), Outcome.infra_error),
        (urllib.error.URLError("x"), Outcome.infra_error),
        (http_error(503), Outcome.infra_error),
        (http_error(404), Outcome.failed),
        (WithStatus(status_code=429), Outcome.infra_error),
        (WithStatus(status_code=500), Outcome.infra_error),
        (WithStatus(status_code=408), Outcome.infra_error),
        (WithStatus(status_code=402), Outcome.infra_error),
        (WithStatus(status_code=400), Outcome.failed),
        (WithStatus(status=503), Outcome.infra_error),
        (WithStatus(code=502), Outcome.infra_error),
        (WithStatus(code="insufficient_quota"), Outcome.failed),
        (WithStatus(response=SimpleNamespace(status_code=503)), Outcome.infra_error),
        (WithStatus(response=SimpleNamespace(status_code=404)), Outcome.failed),
        (SystemExit(500), Outcome.failed),
    ],
    ids=repr,
)
def test_whose_doing_it_is(exc: BaseException, outcome: Outcome) -> None:
    assert classify(exc) is outcome


@pytest.mark.parametrize(
    ("module", "name", "infra"),
    [
        ("openai", "APIConnectionError", True),
        ("openai", "AuthenticationError", True),
        ("openai._exceptions", "RateLimitError", True),
        ("openai", "BadRequestError", False),
        ("httpx", "TransportError", True),
        ("httpx", "InvalidURL", False),
        ("requests.exceptions", "ConnectionError", True),
        ("aiohttp.client_exceptions", "ClientConnectionError", True),
        ("urllib3.exceptions", "MaxRetryError", True),
        ("shop.payment", "ConnectionError", False),
        ("openairlines", "APIConnectionError", False),
    ],
)
def test_foreign_classes_go_by_name_and_base(
    module: str, name: str, infra: bool
) -> None:
    parent = foreign(module, name)
    child = foreign("their.own", "Child", parent)
    assert is_infra(parent("x")) is infra
    assert is_infra(child("x")) is infra


@pytest.mark.slow  # importing openai takes a second
def test_the_real_clients_errors_are_known() -> None:
    openai = pytest.importorskip("openai")
    httpx = pytest.importorskip("httpx")
    request = httpx.Request("POST", "http://x")
    assert is_infra(openai.APIConnectionError(request=request))
    assert is_infra(openai.APITimeoutError(request=request))
    assert is_infra(httpx.ConnectError("x"))
    assert is_infra(httpx.ReadTimeout("x"))
    for status, infra in ((401, False), (429, True), (503, True), (400, False)):
        response = httpx.Response(status, request=request)
        assert (
            is_infra(httpx.HTTPStatusError("x", request=request, response=response))
            is infra
        )


def test_causes_contexts_and_groups_are_searched() -> None:
    def raised(how: str) -> Exception:
        try:
            try:
                raise ConnectionResetError("x")
            except ConnectionResetError as exc:
                if how == "cause":
                    raise ValueError("y") from exc
                if how == "hidden":
                    raise ValueError("y") from None
                raise ValueError("y")  # noqa: B904
        except ValueError as exc:
            return exc

    for how in ("cause", "context", "hidden"):
        assert classify(raised(how)) is Outcome.infra_error, how
    group = ExceptionGroup("g", [ValueError("z"), raised("cause")])
    assert classify(group) is Outcome.infra_error


def test_a_chain_with_a_loop_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify(first) is Outcome.failed


def test_the_nearest_known_error_decides() -> None:
    timeout = EpisodeTimeout("late")
    timeout.__cause__ = ConnectionError("x")
    assert classify(timeout) is Outcome.failed


def test_a_tools_connection_error_is_the_agents_doing() -> None:
    recorder = Recorder()
    exc = ConnectionError("shop is down")
    recorder.tool_failed(recorder.tool_started("pay", {}), exc)
    wrapped = RuntimeError("agent gave up")
    wrapped.__cause__ = exc
    assert classify(exc, from_tool=recorder.is_tool_error) is Outcome.failed
    assert classify(wrapped, from_tool=recorder.is_tool_error) is Outcome.failed
    assert (
        classify(ConnectionError("another"), from_tool=recorder.is_tool_error)
        is Outcome.infra_error
    )


def test_a_model_error_that_passes_through_a_tool_stays_one() -> None:
    recorder = Recorder()
    tool = recorder.tool_started("ask_sub_agent", {})
    exc = ConnectionError("model is down")
    recorder.model_failed(recorder.model_started(), exc)
    outer = RuntimeError("sub-agent failed")
    outer.__cause__ = exc
    recorder.tool_failed(tool, outer)
    assert classify(outer, from_tool=recorder.is_tool_error) is Outcome.infra_error


def test_a_status_that_raises_is_no_status() -> None:
    class Odd(Exception):
        @property
        def status_code(self) -> int:
            raise RuntimeError("no")

        response = status_code

    assert not is_infra(Odd())


def test_only_stops_escape_ordinary_handlers() -> None:
    assert not issubclass(EpisodeStopped, Exception)
    for kind in (UsageError, AgentError, InfraError, HarnessError, SimulatorError):
        assert issubclass(kind, AgentGymError)


def test_a_usage_error_steers_no_terminal() -> None:
    text = "model \x1b[31m\u202eexe.\x9b2J\ud800: two\nlines"
    shown = "model \\x1b[31m\\u202eexe.\\x9b2J\\ud800: two\nlines"
    assert str(UsageError(text)) == shown
    for harmless in (shown, "plain", "a\u00a0space", "\u00fc \U0001f600"):
        assert f"{UsageError(harmless)}" == harmless
