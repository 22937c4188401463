"""`--agentgym-otel` against a real collector, and against none."""

from __future__ import annotations

import socket
import time

import pytest

from tests.otlp_collector import collector
from tests.paying_agent import PAID, PAYING_AGENT

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

INTERNAL, CLIENT = 1, 3


@pytest.fixture
def paying(gym, monkeypatch):
    for name in ("ENDPOINT", "HEADERS", "TRACES_ENDPOINT", "TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    gym.conftest(PAYING_AGENT)
    return gym


def paid(episodes=3, message="7"):
    return PAID.format(name="a", episodes=episodes, message=message)


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_each_episode_is_a_trace(paying, workers):
    paying.file(paid())
    plugins = ("xdist",) if workers else ()
    with collector() as server:
        result = paying.start(
            f"--agentgym-otel={server.url}", *workers, plugins=plugins
        )
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines([f"3 episodes exported to {server.url}/v1/traces"])
    assert set(server.paths) == {"/v1/traces"}
    assert server.resources[0]["service.name"] == "agentgym"
    episodes = {e["id"]: e for e in paying.episodes()}
    roots = server.named("invoke_agent")
    assert {span["trace"] for span in roots} == episodes.keys()
    for root in roots:
        check_trace(server, root, episodes[root["trace"]], paying.summary()["run"])
    # Nothing that was said, asked or answered.
    told = str(server.spans)
    assert "messages" not in told
    assert "is paid" not in told


def check_trace(server, root, episode, run):
    assert root["parent"] == ""
    assert root["kind"] == INTERNAL
    assert root["start"] == pytest.approx(episode["start"], abs=1e-5)
    assert root["end"] - root["start"] == pytest.approx(episode["duration"], abs=1e-5)
    about = root["attributes"]
    assert (
        about
        | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.conversation.id": episode["id"],
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
            "test.case.name": "test_it.py::test_a",
            "test.suite.name": "test_it.py",
            "test.case.result.status": "pass",
            "agentgym.outcome": "passed",
            "agentgym.reward": 1.0,
            "agentgym.case": f"held_out-{episode['case']['index']}",
            "agentgym.run.id": run,
        }
        == about
    )
    assert root["events"] == [
        (
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": episode["checks"][0]["text"],
                "gen_ai.evaluation.score.value": 1.0,
                "gen_ai.evaluation.score.label": "passed",
                "agentgym.check.line": about_line(episode),
            },
        )
    ]
    inner = [s for s in server.spans if s["parent"] == root["id"]]
    inner.sort(key=lambda span: span["start"])
    names = [span["name"] for span in inner]
    assert names == ["chat gpt-4o", "execute_tool look_up", "chat gpt-4o"]
    assert all(root["start"] <= s["start"] <= s["end"] <= root["end"] for s in inner)
    for span, step in zip(inner[::2], episode["trajectory"]["steps"], strict=True):
        call = step["model"]
        assert span["kind"] == CLIENT
        assert span["end"] - span["start"] == pytest.approx(call["duration"], abs=1e-5)
        assert span["start"] - root["start"] == pytest.approx(
            episode["attempt_start"] + call["start"], abs=1e-5
        )
        about = span["attributes"]
        assert about["gen_ai.operation.name"] == "chat"
        assert about["gen_ai.usage.input_tokens"] == call["prompt_tokens"]
        assert about["gen_ai.usage.output_tokens"] == call["completion_tokens"]
        assert about["gen_ai.response.finish_reasons"] == [call["finish_reason"]]
    assert inner[1]["attributes"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.type": "function",
    }


def about_line(episode):
    check = episode["checks"][0]
    return f"{check['file']}:{check['line']}"


def test_content_is_exported_only_if_asked_for(paying):
    paying.file(paid(episodes=1))
    with collector() as server:
        paying.run(
            "--agentgym-otel", f"{server.url}/v1/traces", "--agentgym-otel-content"
        )
    root = server.named("invoke_agent")[0]["attributes"]
    user = {"role": "user", "parts": [{"type": "text", "content": "7"}]}
    said = [{"type": "text", "content": "done"}]
    done = {"role": "assistant", "parts": said, "finish_reason": "stop"}
    asked = {
        "type": "tool_call",
        "id": "c1",
        "name": "look_up",
        "arguments": {"order": "7"},
    }
    answer = {"type": "tool_call_response", "id": "c1", "response": "order 7 is paid"}
    assert root["gen_ai.input.messages"] == [user]
    assert root["gen_ai.output.messages"] == [done]
    first, second = (span["attributes"] for span in server.named("chat gpt-4o"))
    assert first["gen_ai.input.messages"] == [user]
    assert first["gen_ai.output.messages"] == [
        {"role": "assistant", "parts": [asked], "finish_reason": "tool_call"}
    ]
    assert second["gen_ai.input.messages"] == [
        user,
        {"role": "assistant", "parts": [asked]},
        {"role": "tool", "parts": [answer]},
    ]
    assert second["gen_ai.output.messages"] == [done]
    tool = server.named("execute_tool look_up")[0]["attributes"]
    assert tool["gen_ai.tool.call.arguments"] == {"order": "7"}
    assert tool["gen_ai.tool.call.result"] == "order 7 is paid"


@pytest.mark.parametrize("content", [False, True])
def test_failures(paying, content, monkeypatch):
    monkeypatch.setattr("agentgym.playing.play.FIRST_BACKOFF_SECONDS", 0.2)
    paying.file(paid(episodes=1, message="unknown"), "test_a.py")
    paying.file(paid(episodes=1, message="7 down=1"), "test_b.py")
    options = ["--agentgym-otel-content"] if content else []
    with collector() as server:
        paying.run(
            f"--agentgym-otel={server.url}", "--agentgym-infra-retries=1", *options
        )
    failed, lost = server.named("invoke_agent")
    assert (failed["attributes"]["agentgym.outcome"], failed["error"]) == (
        "failed",
        False,
    )
    assert failed["attributes"]["test.case.result.status"] == "fail"
    ((_, check),) = failed["events"]
    assert check["gen_ai.evaluation.score.label"] == "failed"
    assert ("gen_ai.evaluation.explanation" in check) is content
    (tool,) = server.named("execute_tool look_up")
    assert tool["error"]
    assert tool["attributes"]["error.type"] == "KeyError"
    assert tool["description"] == ("KeyError: 'unknown'" if content else "")
    assert lost["error"]
    assert lost["attributes"]["error.type"] == "ConnectionError"
    assert lost["attributes"]["agentgym.attempts"] == 2
    assert "test.case.result.status" not in lost["attributes"]
    # What is told is the second attempt, after the wait.
    (chat,) = (s for s in server.named("chat gpt-4o") if s["parent"] == lost["id"])
    assert chat["start"] - lost["start"] > 0.15
    assert chat["end"] <= lost["end"]


def test_the_environment_says_where_to(paying, monkeypatch):
    paying.file(paid(episodes=1))
    with collector() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=shop")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
        result = paying.start("--agentgym-otel")
    assert result.ret == 0
    assert server.headers[0]["x-team"] == "shop"
    assert server.resources[0]["service.name"] == "nightly"
    assert len(server.spans) == 4


def test_a_collector_that_is_down_costs_one_line(paying):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paying.file(paid(episodes=30))
    begun = time.monotonic()
    result = paying.start(f"--agentgym-otel=http://127.0.0.1:{port}")
    assert time.monotonic() - begun < 20
    assert result.ret == 0
    text = result.stdout.str() + result.stderr.str()
    lines = [line for line in text.splitlines() if "otel" in line or "4318" in line]
    assert lines == [line for line in lines if line.startswith("--agentgym-otel: 30 ")]
    assert len(lines) == 1
    assert "30 of 30 episodes could not be exported to http://127.0.0.1:" in lines[0]
    assert "refused" in lines[0]
    assert "Traceback" not in text


def test_a_collector_that_refuses_costs_one_line(paying):
    paying.file(paid(episodes=3))
    with collector(status=401) as server:
        result = paying.run(f"--agentgym-otel={server.url}")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["--agentgym-otel: 3 of 3 episodes could not *401*"])


def test_switched_off_by_the_environment(paying, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    paying.file(paid(episodes=1))
    with collector() as server:
        result = paying.start(f"--agentgym-otel={server.url}")
    assert result.ret == 0
    assert server.paths == []
    result.stdout.fnmatch_lines(["*OTEL_SDK_DISABLED is set, nothing was exported"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--agentgym-otel", "."], ". is no http(s) URL: give a collector's, such as"),
        (["--agentgym-otel=ftp://x"], "ftp://x is no http(s) URL"),
        (["--agentgym-otel-content"], "--agentgym-otel-content belongs to an export"),
    ],
)
def test_bad_values(paying, options, words):
    result = paying.start(*options)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: *{words}*"])
    assert "Traceback" not in result.stderr.str()


def test_without_the_extra(paying):
    hidden = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http'] = None"
    paying.file(hidden, "hide_otel.py")
    paying.pytester.syspathinsert()
    result = paying.start("--agentgym-otel", "-p", "hide_otel")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*OpenTelemetry: pip install 'pytest-agentgym?otel?'"])
