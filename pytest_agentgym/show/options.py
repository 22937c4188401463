"""The options of what a run shows and writes: files, a baseline, an export, a plan."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_agentgym.option_values import number


class FileOptions(NamedTuple):
    """Where else files go; paths as given, from the folder that pytest is started in.

    Attributes:
        summary: The summary as JSON.
        report: The report as one HTML file.
    """

    summary: str | None
    report: str | None


class BaselineOptions(NamedTuple):
    """The run to compare with.

    Attributes:
        run: Its id, folder or file, or `latest`.
        max_drop: How much reliability may be lost, in [0, 1]; None for any.
    """

    run: str
    max_drop: float | None


class OtelOptions(NamedTuple):
    """The collector that episodes are exported to.

    Attributes:
        url: None leaves it to the `OTEL_*` environment variables.
        content: Whether messages, tool arguments and results go there, too.
    """

    url: str | None
    content: bool


FILE_OPTIONS = pytest.StashKey[FileOptions]()
BASELINE_OPTIONS = pytest.StashKey[BaselineOptions | None]()
OTEL_OPTIONS = pytest.StashKey[OtelOptions | None]()


def add_options(group: pytest.OptionGroup) -> None:
    """Adds the options."""
    group.addoption(
        "--agentgym-plan",
        action="store_true",
        default=False,
        help="play nothing; say how many episodes certify the threshold, and what they "
        "cost",
    )
    group.addoption(
        "--agentgym-json", metavar="PATH", help="write the summary there, too"
    )
    group.addoption(
        "--agentgym-report",
        metavar="PATH",
        help="write the report as one HTML file there, too",
    )
    group.addoption(
        "--agentgym-baseline",
        metavar="RUN",
        help="compare with an earlier run: its id, folder, summary.json or "
        "episodes.jsonl, or 'latest'",
    )
    group.addoption(
        "--agentgym-max-drop",
        metavar="SHARE",
        help="fail if reliability is certain to have dropped by more since the "
        "baseline, such as 0.02; with --agentgym-gate certified: unless it is certain "
        "not to",
    )
    group.addoption(
        "--agentgym-otel",
        metavar="URL",
        nargs="?",
        const="",
        help="export the episodes to an OpenTelemetry collector over OTLP/HTTP "
        "(without a URL: where the OTEL_* environment variables say)",
    )
    group.addoption(
        "--agentgym-otel-content",
        action="store_true",
        default=False,
        help="--agentgym-otel: with messages, tool arguments and results",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    config.stash[FILE_OPTIONS] = FileOptions(
        summary=config.getoption("agentgym_json"),
        report=config.getoption("agentgym_report"),
    )
    config.stash[BASELINE_OPTIONS] = _baseline(config)
    config.stash[OTEL_OPTIONS] = _otel(config)


def _baseline(config: pytest.Config) -> BaselineOptions | None:
    run = config.getoption("agentgym_baseline")
    if run is None and config.getoption("agentgym_max_drop") is not None:
        raise pytest.UsageError(
            "--agentgym-max-drop compares with an earlier run: add --agentgym-baseline "
            "RUN"
        )
    max_drop = number(config, "max-drop", float, 0, 1)
    return None if run is None else BaselineOptions(run=run, max_drop=max_drop)


def _otel(config: pytest.Config) -> OtelOptions | None:
    url, content = (
        config.getoption("agentgym_otel"),
        config.getoption("agentgym_otel_content"),
    )
    if url is None:
        if content:
            raise pytest.UsageError(
                "--agentgym-otel-content belongs to an export: add --agentgym-otel"
            )
        return None
    return OtelOptions(url=url or None, content=content)
