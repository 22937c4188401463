"""The options of what a run shows and writes: files, a baseline, an export, a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_agentgym.option_values import number

if TYPE_CHECKING:
    from pytest_agentgym.option_groups import OptionGroups


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


INI_K = "agentgym_k"
MOST_KS, LARGEST_K = 10, 1000

K_OPTION = pytest.StashKey[tuple[int, ...] | None]()
"""Which k of pass^k and pass@k were asked for."""
FILE_OPTIONS = pytest.StashKey[FileOptions]()
BASELINE_OPTIONS = pytest.StashKey[BaselineOptions | None]()
OTEL_OPTIONS = pytest.StashKey[OtelOptions | None]()


def add_options(groups: OptionGroups) -> None:
    """Adds the options."""
    groups.measuring.addoption(
        "--agentgym-plan",
        action="store_true",
        default=False,
        help="only say how many episodes certify the threshold",
    )
    groups.gate.addoption(
        "--agentgym-baseline",
        metavar="RUN",
        help="earlier run to compare with: its id, path or 'latest'",
    )
    groups.gate.addoption(
        "--agentgym-max-drop",
        metavar="SHARE",
        help="largest drop since then that passes, as 0.02",
    )
    _add_reports(groups.reports)


def _add_reports(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-json", metavar="PATH", help="write the summary there, too"
    )
    group.addoption(
        "--agentgym-report",
        metavar="PATH",
        help="write the report as one HTML file there, too",
    )
    group.addoption(
        "--agentgym-k",
        metavar="LIST",
        help="k of pass^k and pass@k to report, as 1,3,5",
    )
    group.addoption(
        "--agentgym-otel",
        metavar="URL",
        nargs="?",
        const="",
        help="export the episodes to an OpenTelemetry collector",
    )
    group.addoption(
        "--agentgym-otel-content",
        action="store_true",
        default=False,
        help="and with them messages, arguments and results",
    )
    group.addoption(
        "--agentgym-keep-secrets",
        action="store_true",
        default=False,
        help="show and store keys and passwords, not ***",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    config.stash[K_OPTION] = _ks(config)
    config.stash[FILE_OPTIONS] = FileOptions(
        summary=config.getoption("agentgym_json"),
        report=config.getoption("agentgym_report"),
    )
    config.stash[BASELINE_OPTIONS] = _baseline(config)
    config.stash[OTEL_OPTIONS] = _otel(config)


def _ks(config: pytest.Config) -> tuple[int, ...] | None:
    given = config.getoption("agentgym_k")
    where, text = "--agentgym-k", given
    if given is None:
        where, text = f"{INI_K} =", config.getini(INI_K)
        if not text:
            return None
    try:
        ks = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        ks = []
    if not ks or len(ks) > MOST_KS or not 1 <= ks[0] <= ks[-1] <= LARGEST_K:
        raise pytest.UsageError(
            f"{where} {text}: give up to {MOST_KS} whole numbers from 1 to "
            f"{LARGEST_K}, separated by commas, such as 1,3,5"
        )
    return tuple(ks)


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
