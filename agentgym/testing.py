"""Fakes for tests of agents and scenarios: a scripted agent and a scripted model."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import socket
import socketserver
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import UsageError
from agentgym.policy.server.openai_json import (
    END_OF_STREAM,
    encode,
    error_body,
    sse_event,
)
from agentgym.recording.plain import clean
from agentgym.recording.recorder import Recorder, current

Script = Sequence["Reply | str"] | Callable[[dict[str, Any]], "Reply | str"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a scripted model answers; made by `say`, `call`, `error` and `hang`.

    Attributes:
        calls: Names and raw arguments of the tool calls.
        status: HTTP status; anything but 200 is an error.
        delay: Seconds until the answer; None for the model's own delay.
        silent: Whether the connection is closed without an answer.
        times: How often an error is given before the script goes on; None: forever.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    status: int = 200
    delay: float | None = None
    silent: bool = False
    times: int | None = None

    @property
    def fails(self) -> bool:
        """Whether it is no message of the assistant."""
        return self.silent or self.status != 200

    def after(self, seconds: float) -> Reply:
        """The same reply, delayed."""
        return replace(self, delay=seconds)

    def __and__(self, other: Reply) -> Reply:
        """Both replies in one message: parallel tool calls, or a text with a call."""
        text = " ".join(text for text in (self.text, other.text) if text)
        return replace(self, text=text, calls=self.calls + other.calls)


def say(text: str) -> Reply:
    """A text."""
    return Reply(text=text)


def call(name: str, /, **arguments: Any) -> Reply:
    """A tool call; two of them joined by `&` are asked for in one message.

    Args:
        name: The tool's.
        **arguments: What it is called with.
    """
    return Reply(calls=((name, json.dumps(arguments)),))


def malformed(name: str, arguments: str) -> Reply:
    """A tool call whose arguments are this very text.

    Args:
        name: The tool's.
        arguments: Text that is no JSON object.
    """
    return Reply(calls=((name, arguments),))


def error(
    status: int, text: str = "scripted error", *, times: int | None = None
) -> Reply:
    """An HTTP error; after so many `times` the next reply of the script is given.

    Args:
        status: HTTP status, such as 429.
        text: The error's message.
        times: How often it is given; None for good.
    """
    return Reply(status=status, text=text, times=times)


def hang(seconds: float, *, times: int | None = None) -> Reply:
    """No answer: the connection is closed after so many seconds.

    Args:
        seconds: How long the client waits.
        times: How often it happens; None for good.
    """
    return Reply(silent=True, delay=seconds, times=times)


class ScriptedModel:
    """An OpenAI-compatible server on 127.0.0.1 that answers from a script.

    The reply is chosen by the number of assistant messages in the request, so that any
    number of conversations can go on at a time.

        with ScriptedModel([call("lookup", id="A1"), say("Done.")]) as model:
            agent = make_agent(model.endpoint)

    Args:
        script: The replies in order, or a function of the request.
        delay: Seconds before every answer.
        name: The model's name.

    Attributes:
        requests: The latest requests, as JSON objects.
    """

    def __init__(
        self, script: Script, *, delay: float = 0.0, name: str = "scripted"
    ) -> None:
        if not callable(script):
            script = [say(step) if isinstance(step, str) else step for step in script]
        self.delay = delay
        self.name = name
        self.requests: deque[dict[str, Any]] = deque(maxlen=1000)
        self._script = script
        self._lock = threading.Lock()
        self._errors_given: dict[int, int] = {}
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ScriptedModel:
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> ScriptedModel:
        """Starts to answer; `with` does this, too."""
        return self.__enter__()

    def stop(self) -> None:
        """Closes all connections."""
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.close()
            self._thread.join()
            self._server = None

    @property
    def base_url(self) -> str:
        """The address for OpenAI clients."""
        if self._server is None:
            raise UsageError("the ScriptedModel is not running: use it in a `with`")
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def endpoint(self) -> PolicyEndpoint:
        """The policy endpoint for agents."""
        return PolicyEndpoint(
            base_url=self.base_url, api_key="scripted", model=self.name
        )

    def answer(self, request: dict[str, Any]) -> Reply:
        """The reply to a request."""
        self.requests.append(request)
        if callable(self._script):
            try:
                reply = self._script(request)
            except Exception as exc:  # noqa: BLE001 - whoever wrote the script sees it
                return error(400, f"the script raised {exc!r}")
            return say(reply) if isinstance(reply, str) else reply
        position = _position(request)
        answers = 0
        for index, step in enumerate(cast("list[Reply]", self._script)):
            if not step.fails:
                if answers == position:
                    return step
                answers += 1
            elif answers == position and self._fails_still(index, step):
                return step
        return error(
            400, f"the script has no reply after {position} assistant messages"
        )

    def wait(self, reply: Reply) -> None:
        """Sleeps as long as the reply takes, or until the model is stopped."""
        seconds = self.delay if reply.delay is None else reply.delay
        if seconds > 0:
            self._closing.wait(seconds)

    def _fails_still(self, index: int, step: Reply) -> bool:
        if step.times is None:
            return True
        with self._lock:
            given = self._errors_given.get(index, 0)
            self._errors_given[index] = given + 1
        return given < step.times


def _position(request: Mapping[str, Any]) -> int:
    messages = request.get("messages") or ()
    return sum(message.get("role") == "assistant" for message in messages)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that gave up is what tests often want."""

    def close(self) -> None:
        self.server_close()
        for connection in list(self._open):
            # Wakes the thread that waits for this connection's next request.
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(socketserver.StreamRequestHandler):
    """One keep-alive connection; parsed by hand, as `http.server` costs 0.3 ms."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        while request_line := self.rfile.readline(65_537):
            method, path = request_line.split()[:2]
            length, keep = 0, True
            while (line := self.rfile.readline(65_537)) not in (b"\r\n", b"\n", b""):
                header, _, value = line.partition(b":")
                match header.lower():
                    case b"content-length":
                        length = int(value)
                    case b"connection":
                        keep = value.strip().lower() != b"close"
            body = self.rfile.read(length)
            if not self._answer(method, path.decode(), body) or not keep:
                return

    def _answer(self, method: bytes, path: str, body: bytes) -> bool:
        model = self.server.model
        if path == "/health":
            self._send(200, {"status": "ok"})
        elif path == "/v1/models":
            self._send(200, {"object": "list", "data": [_model_json(model.name)]})
        elif method != b"POST" or path != "/v1/chat/completions":
            self._refuse(404, f"no such address: {path}")
        else:
            try:
                request = json.loads(body)
            except ValueError:
                self._refuse(400, "the request is not JSON")
                return True
            return self._complete(model, request, len(body))
        return True

    def _complete(
        self, model: ScriptedModel, request: dict[str, Any], size: int
    ) -> bool:
        reply = model.answer(request)
        model.wait(reply)
        if reply.silent:
            return False
        if reply.fails:
            self._refuse(reply.status, reply.text)
            return True
        completion = _completion(model.name, request, reply, size)
        if not request.get("stream"):
            self._send(200, completion)
            return True
        options = request.get("stream_options") or {}
        chunks = _chunks(completion, usage=bool(options.get("include_usage")))
        events = b"".join(map(sse_event, chunks)) + END_OF_STREAM
        self._write(200, b"text/event-stream", events)
        return True

    def _send(self, status: int, content: dict[str, Any]) -> None:
        self._write(status, b"application/json", encode(content))

    def _refuse(self, status: int, text: str) -> None:
        self._send(status, error_body(text, kind="scripted", code=str(status)))

    def _write(self, status: int, kind: bytes, body: bytes) -> None:
        self.wfile.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (status, b"OK" if status == 200 else b"Error", kind, len(body), body)
        )


def _model_json(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agentgym"}


def _completion(
    name: str, request: dict[str, Any], reply: Reply, size: int
) -> dict[str, Any]:
    position = _position(request)
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{position}_{index}",
                "type": "function",
                "function": {"name": tool, "arguments": arguments},
            }
            for index, (tool, arguments) in enumerate(reply.calls)
        ]
    # Four characters a token is what English takes in most tokenizers.
    prompt = size // 4
    written = len(reply.text) + sum(len(tool) + len(raw) for tool, raw in reply.calls)
    return {
        "id": f"chatcmpl-{position}",
        "object": "chat.completion",
        "created": 0,
        "model": name,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if reply.calls else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written // 4 + 1,
            "total_tokens": prompt + written // 4 + 1,
        },
    }


def _chunks(completion: dict[str, Any], *, usage: bool) -> Iterable[dict[str, Any]]:
    """The completion as a stream's chunks: role, text, calls, end."""
    choice = completion["choices"][0]
    frame = {
        **{key: completion[key] for key in ("id", "created", "model")},
        "object": "chat.completion.chunk",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**frame, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for word in re.findall(r"\s*\S+|\s+$", choice["message"]["content"] or ""):
        yield chunk({"content": word})
    for index, request in enumerate(choice["message"].get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": index, **request}]})
    yield chunk({}, choice["finish_reason"])
    if usage:
        yield {**frame, "choices": [], "usage": completion["usage"]}


AgentStep = str | tuple[str, Mapping[str, Any] | str] | Callable[[Any], Any]


class ScriptedAgent:
    """An agent that calls tools as a script says; the oracle of a scenario's tests.

    Args:
        script: Steps: `(tool, arguments)` calls a tool, a text ends the turn, and a
            function makes either of them from the last tool's result (or the text of
            its error). Arguments that are a text are malformed: nothing runs.
        tools: Functions or LangChain tools. A tool that raises ends nothing.
    """

    def __init__(self, script: Iterable[AgentStep], tools: Iterable[Any] = ()) -> None:
        self._steps = deque(script)
        self._tools = {_tool_name(tool): tool for tool in tools}
        self._calls = 0
        self._last: Any = None

    def run(self, message: str) -> str:
        """Plays the script up to the next text, which is the reply."""
        del message
        recorder = current() or Recorder()
        while self._steps:
            step = self._steps.popleft()
            if callable(step):
                step = step(self._last)
            if isinstance(step, str):
                recorder.model_finished(
                    recorder.model_started("scripted"),
                    message={"role": "assistant", "content": step},
                    finish_reason="stop",
                )
                return step
            self._last = self._call(recorder, *step)
        return ""

    def _call(
        self, recorder: Recorder, name: str, arguments: Mapping[str, Any] | str
    ) -> Any:
        self._calls += 1
        call_id = f"call_{self._calls}"
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": name, "arguments": raw}
        request = {"id": call_id, "type": "function", "function": function}
        recorder.model_finished(
            recorder.model_started("scripted"),
            message={"role": "assistant", "content": "", "tool_calls": [request]},
            finish_reason="tool_calls",
        )
        tool = self._tools.get(name)
        if isinstance(arguments, str) or tool is None:
            text = "the arguments are no JSON object" if tool else f"no tool {name}"
            recorder.tool_answered(call_id, text, refused=True)
            return text
        started = recorder.tool_started(name, dict(arguments), call_id=call_id)
        try:
            result = _execute(tool, dict(arguments))
        except Exception as exc:  # noqa: BLE001 - agents show the model any error
            recorder.tool_failed(started, exc)
            return clean(f"{type(exc).__name__}: {exc}")
        recorder.tool_finished(started, result)
        return result


def _tool_name(tool: Any) -> str:
    name = getattr(tool, "__name__", None) or getattr(tool, "name", None)
    if not isinstance(name, str) or not (callable(tool) or hasattr(tool, "invoke")):
        raise UsageError(
            f"ScriptedAgent(tools=...): {tool!r} is no tool: give functions or "
            "LangChain tools"
        )
    return name


def _execute(tool: Any, arguments: dict[str, Any]) -> Any:
    invoke = getattr(tool, "invoke", None)
    result = tool(**arguments) if invoke is None else invoke(arguments)
    return asyncio.run(result) if inspect.iscoroutine(result) else result
