"""Sends episodes to an OpenTelemetry collector over OTLP/HTTP."""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agentgym.distribution import __version__, install_command
from agentgym.endpoint import without_secrets
from agentgym.errors import UsageError
from agentgym.playing.episode import Episode
from agentgym.recording.plain import shorten
from agentgym.report.otel.spans import Span, spans_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Tracer
    from opentelemetry.sdk.trace.export import SpanExporter

MOST_SPANS = 512
"""In one request, as OpenTelemetry's own batches have."""
LAST_SECONDS = 15.0
"""How long the end of a run waits for a collector that answers."""
TROUBLED_SECONDS = 1.0
"""How long it waits for one that does not."""
MOST_WORDS = 200
"""Characters of a collector's refusal that are shown."""
_PATH = "/v1/traces"
_END = object()


def endpoint_of(url: str) -> str:
    """The address of a collector's traces.

    Args:
        url: It, or the address before `/v1/traces`.

    Raises:
        UsageError: It is no http(s) URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{without_secrets(url)} is no http(s) URL: give a collector's, such as "
            "http://localhost:4318, in the form --agentgym-otel=URL"
        )
    if parts.path.rstrip("/").endswith(_PATH):
        return url
    return parts._replace(path=parts.path.rstrip("/") + _PATH).geturl()


class Exporter:
    """Exports episodes in a thread of its own; never raises, never holds up a run.

    Args:
        url: The collector; None for what the OTEL_* environment variables say, which
            are honoured for everything else, too (headers, time-out, service name).
        content: Whether messages, arguments and results are exported.
        run: Tells the run's id.

    Attributes:
        exported: Episodes that the collector took.
        lost: Episodes that it did not take.

    Raises:
        UsageError: OpenTelemetry is not installed, or the URL is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        content: bool = False,
        run: Callable[[], str] = lambda: "",
    ) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
                OTLPSpanExporter,
            )
        except ImportError as exc:
            raise UsageError(
                f"--agentgym-otel needs OpenTelemetry: {install_command('otel')}"
            ) from exc
        exporter = OTLPSpanExporter(None if url is None else endpoint_of(url))
        self.endpoint = without_secrets(exporter._endpoint)
        self.exported = self.lost = 0
        self._content = content
        self._run = run
        self._sender = _Sender(exporter)
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="agentgym-otel", daemon=True
        )
        self._thread.start()

    def add(self, episode: Episode) -> None:
        """Exports an episode, soon."""
        self._queue.put(episode)

    def close(self) -> str | None:
        """Exports what is left, if the collector answers.

        Returns:
            One sentence if episodes were lost.
        """
        self._closing.set()
        self._queue.put(_END)
        begun = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.05)
            patience = TROUBLED_SECONDS if self._sender.troubled else LAST_SECONDS
            if time.monotonic() - begun > patience:
                break
        self._sender.shutdown()
        self._thread.join(1)
        self._sender.unmute()
        self.lost += self._left()
        if not self.lost:
            return None
        total = self.exported + self.lost
        return (
            f"--agentgym-otel: {self.lost} of {total} episodes could not be exported "
            f"to {self.endpoint}: {without_secrets(self._sender.reason)}"
        )

    def _left(self) -> int:
        left = 0
        while True:
            try:
                left += self._queue.get_nowait() is not _END
            except queue.Empty:
                return left

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            # At the end nobody waits again for a collector that is down.
            if self._closing.is_set() and self._sender.failure is not None:
                self.lost += len(batch)
                continue
            sent = self._send(batch)
            self.exported += len(batch) if sent else 0
            self.lost += 0 if sent else len(batch)

    def _next(self) -> list[Episode] | None:
        """Episodes that are waiting, at least one; None at the end."""
        first = self._queue.get()
        if first is _END:
            return None
        batch, spans = [first], _size(first)
        while spans < MOST_SPANS:
            try:
                episode = self._queue.get_nowait()
            except queue.Empty:
                break
            if episode is _END:
                self._queue.put(_END)
                break
            batch.append(episode)
            spans += _size(episode)
        return batch

    def _send(self, batch: list[Episode]) -> bool:
        try:
            run = self._run()
            for episode in batch:
                # The agent's own objects may be of any size, and still change.
                plain = Episode.from_json(episode.to_json())
                recorded = spans_of(plain, content=self._content, run=run)
                self._sender.record(plain.id, *recorded)
            return self._sender.send()
        except Exception as exc:  # noqa: BLE001 - an export never fails a run
            self._sender.failure = f"{type(exc).__name__}: {exc}"
            return False


def _size(episode: Episode) -> int:
    steps = episode.trajectory.steps
    return 1 + len(steps) + sum(len(step.tool_calls) for step in steps)


class _Sender:
    """Turns spans into OpenTelemetry's and sends them.

    Attributes:
        failure: Why the latest request failed, if it did.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        waiting: list[ReadableSpan] = []

        class Ids(RandomIdGenerator):
            """Gives an episode's trace the episode's own id."""

            trace = 0

            def generate_trace_id(self) -> int:
                return self.trace or super().generate_trace_id()

        class Keep(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                waiting.append(span)

        resource = Resource.create()
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "agentgym"}))
        self.failure: str | None = None
        self._ids = Ids()
        provider = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(Keep())
        self._exporter = exporter
        self._waiting = waiting
        self._tracer: Tracer | Any = provider.get_tracer("agentgym", __version__)
        self._log = _Log()
        logging.getLogger(type(exporter).__module__).addFilter(self._log)

    @property
    def troubled(self) -> bool:
        """Whether the latest request failed, or is being tried again."""
        return self.failure is not None or self._log.said is not None

    @property
    def reason(self) -> str:
        """Why it failed."""
        return self.failure or self._log.said or "it did not answer in time"

    def record(self, episode: str, span: Span, inner: list[Span]) -> None:
        """Makes an episode's spans; they wait for `send`."""
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        self._ids.trace = _trace_id(episode)
        # Without a parent: the run's own code may be traced as well.
        root = self._start(span, Context())
        within = set_span_in_context(root, Context())
        for each in inner:
            self._end(self._start(each, within), each)
        self._end(root, span)

    def _start(self, span: Span, context: Any) -> Any:
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(
            span.name,
            context=context,
            kind=SpanKind.CLIENT if span.remote else SpanKind.INTERNAL,
            attributes=span.attributes,
            start_time=_nanoseconds(span.start),
        )

    def _end(self, made: Any, span: Span) -> None:
        from opentelemetry.trace import Status, StatusCode

        end = _nanoseconds(span.start + span.duration)
        for event in span.events:
            made.add_event(event.name, event.attributes, timestamp=end)
        if span.failed:
            made.set_status(Status(StatusCode.ERROR, span.description))
        made.end(end)

    def send(self) -> bool:
        """Sends the waiting spans; False if the collector did not take them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans = self._waiting.copy()
        self._waiting.clear()
        self._log.thread = threading.get_ident()
        for first in range(0, len(spans), MOST_SPANS):
            part = spans[first : first + MOST_SPANS]
            if self._exporter.export(part) is not SpanExportResult.SUCCESS:
                self.failure = self._log.said or "the collector refused them"
                return False
        self.failure = self._log.said = None
        return True

    def shutdown(self) -> None:
        """Ends the waiting for a collector that does not answer."""
        self._exporter.shutdown()

    def unmute(self) -> None:
        """Leaves the exporter's log as it was."""
        logging.getLogger(type(self._exporter).__module__).removeFilter(self._log)


class _Log(logging.Filter):
    """Keeps what the exporter logs in our thread, in place of showing it."""

    def __init__(self) -> None:
        super().__init__()
        self.thread: int | None = None
        self.said: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        text = " ".join(record.getMessage().split())
        # That it gave up says less than what it met before.
        if self.said is None or not text.endswith(("shutdown.", "aborting retry.")):
            self.said = _reason(text)
        return False


def _reason(text: str) -> str:
    """The cause in what the exporter says of it."""
    text = re.sub(r"^Transient error (.*) encountered while .*", r"\1", text)
    cause = re.search(r"Caused by .*: ([^:\"']+)", text)
    return shorten(text if cause is None else cause[1], MOST_WORDS)


def _trace_id(episode: str) -> int:
    try:
        return int(episode, 16) if len(episode) == 32 else 0
    except ValueError:
        return 0


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000) * 1000


def disabled() -> bool:
    """Whether the environment switches OpenTelemetry off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
