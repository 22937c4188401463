"""Exports a run's episodes to an OpenTelemetry collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from agentgym.errors import UsageError
from agentgym.report.otel.export import Exporter, disabled
from pytest_agentgym.show.options import OtelOptions

if TYPE_CHECKING:
    from agentgym.playing.episode import Episode


def register_otel(config: pytest.Config, options: OtelOptions) -> None:
    """Registers the export, in the main process.

    Args:
        config: Of this process.
        options: Where the episodes go.

    Raises:
        pytest.UsageError: OpenTelemetry is missing, or the URL is none.
    """

    def run_id() -> str:
        reporter = config.pluginmanager.get_plugin("agentgym-reporter")
        store = getattr(reporter, "store", None)
        return "" if store is None else str(store.id)

    config.pluginmanager.register(OtelExport(options, run_id), "agentgym-otel")


class OtelExport:
    """Main process: hands each episode on, and says at the end what was exported.

    Args:
        options: Where the episodes go.
        run: Returns the run's id.

    Raises:
        pytest.UsageError: OpenTelemetry is missing, or the URL is none.
    """

    def __init__(self, options: OtelOptions, run: Callable[[], str]) -> None:
        try:
            self._exporter = Exporter(options.url, content=options.content, run=run)
        except UsageError as exc:
            raise pytest.UsageError(f"--agentgym-otel: {exc}") from None
        self._warning: str | None = None
        self._closed = False

    def pytest_agentgym_episode_finished(self, episode: Episode) -> None:
        """Exports the episode."""
        self._exporter.add(episode)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Waits for the last episodes."""
        self._warning = self._exporter.close()
        self._closed = True

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Says where the episodes are, or why they are not."""
        if self._warning is not None:
            terminalreporter.write_line(self._warning, yellow=True)
        elif disabled():
            terminalreporter.write_line(
                "--agentgym-otel: OTEL_SDK_DISABLED is set, nothing was exported",
                yellow=True,
            )
        elif self._exporter.exported:
            number = self._exporter.exported
            noun = "episode" if number == 1 else "episodes"
            terminalreporter.write_line(
                f"{number} {noun} exported to {self._exporter.endpoint}"
            )

    def pytest_unconfigure(self) -> None:
        """Ends the thread of a run that never began."""
        if not self._closed:
            self._exporter.close()
