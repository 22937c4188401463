"""The options of playing: how many episodes, of which cases, and what passes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_agentgym.option_values import choice, number

if TYPE_CHECKING:
    from agentgym.runs.outcome_sequence import Stop
    from agentgym.runs.summary import Gate
    from agentgym.scenarios.cases import Split
    from pytest_agentgym.option_groups import OptionGroups

DEFAULT_THRESHOLD = 0.95
DEFAULT_TIMEOUT = 300.0
DEFAULT_TOOL_CALLS = 50
DEFAULT_INFRA_RETRIES = 2
# Compiled where it is needed: plain `pytest` would pay for it.
_CASE = r"(?P<split>train|held[_-]out)(?P<how>[-#])(?P<number>\d{1,13})"


class ChosenCase(NamedTuple):
    """A case to play.

    Attributes:
        split: The split that it comes from.
        number: Its index, or its position.
        positional: Whether cases are counted within their split, as a training does:
            listed values of both splits are numbered together.
    """

    split: Split
    number: int
    positional: bool


class PlayOptions(NamedTuple):
    """Checked values.

    Attributes:
        episodes: Per scenario; None leaves it to the scenario.
        concurrency: Episodes in flight per process; None for as many as pay.
        timeout: Seconds for each of an episode's set-up, body and tear-down.
        max_tool_calls: Of one episode.
        infra_retries: New attempts after a failure of the infrastructure.
        seed: Of the cases.
        split: None leaves it to the scenario's cases.
        cases: The only cases to play, if not empty.
        threshold: Reliability that passes, in [0, 1].
        gate: Whether the measured share or the verdict must reach it.
        stop: Whether a scenario ends once its verdict is certain.
        state_check: Whether an agent that keeps its state between episodes is refused.
    """

    episodes: int | None
    concurrency: int | None
    timeout: float
    max_tool_calls: int
    infra_retries: int
    seed: int
    split: Split | None
    cases: tuple[ChosenCase, ...]
    threshold: float
    gate: Gate
    stop: Stop
    state_check: bool


INI_STATE_CHECK = "agentgym_state_check"
_WORDS = {"on": True, "off": False, "true": True, "false": False}

PLAY_OPTIONS = pytest.StashKey[PlayOptions]()


def add_options(groups: OptionGroups) -> None:
    """Adds the options."""
    _add_measuring(groups.measuring)
    _add_limits(groups.episodes)
    _add_gate(groups.gate)


def _add_measuring(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-episodes",
        metavar="N",
        help="episodes per scenario (default: the scenario's own, 32)",
    )
    group.addoption(
        "--agentgym-split",
        metavar="SPLIT",
        help="play only held_out, or only train cases",
    )
    group.addoption(
        "--agentgym-case",
        metavar="ID",
        action="append",
        help="play only this case, as held_out-3; may be repeated",
    )
    group.addoption(
        "--agentgym-seed",
        metavar="N",
        help="same seed, same cases and replies (default: 0)",
    )


def _add_limits(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-concurrency",
        metavar="N",
        help="episodes in flight per process (default: as many as pay)",
    )
    group.addoption(
        "--agentgym-timeout",
        metavar="SECONDS",
        help=f"limit of set-up, body, tear-down each (default: {DEFAULT_TIMEOUT:g})",
    )
    group.addoption(
        "--agentgym-max-tool-calls",
        metavar="N",
        help=f"tool calls of one episode (default: {DEFAULT_TOOL_CALLS})",
    )
    group.addoption(
        "--agentgym-infra-retries",
        metavar="N",
        help="new attempts after an infrastructure error "
        f"(default: {DEFAULT_INFRA_RETRIES})",
    )
    group.addoption(
        "--agentgym-state-check",
        metavar="SWITCH",
        help="off: allow an agent to keep state between episodes",
    )


def _add_gate(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-threshold",
        metavar="SHARE",
        help=f"reliability that passes, in [0, 1] (default: {DEFAULT_THRESHOLD})",
    )
    group.addoption(
        "--agentgym-gate",
        metavar="GATE",
        help="how sure that is: point (default), tolerant, certified",
    )
    group.addoption(
        "--agentgym-stop",
        metavar="WHEN",
        help="when a run ends: fixed (default), sequential, grouped",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    config.stash[PLAY_OPTIONS] = PlayOptions(
        episodes=number(config, "episodes", int, 1, 1e9),
        concurrency=number(config, "concurrency", int, 1, 10_000),
        timeout=number(config, "timeout", float, 0.001, 1e9, DEFAULT_TIMEOUT),
        max_tool_calls=number(
            config, "max-tool-calls", int, 1, 1e9, DEFAULT_TOOL_CALLS
        ),
        infra_retries=number(
            config, "infra-retries", int, 0, 100, DEFAULT_INFRA_RETRIES
        ),
        seed=number(config, "seed", int, 0, 2**63, 0),
        split=choice(config, "split", None, "held_out", "train"),
        cases=tuple(dict.fromkeys(map(_case, config.getoption("agentgym_case") or ()))),
        threshold=number(config, "threshold", float, 0, 1, DEFAULT_THRESHOLD),
        gate=choice(config, "gate", "point", "tolerant", "certified"),
        stop=choice(config, "stop", "fixed", "sequential", "grouped"),
        state_check=_switch(config, INI_STATE_CHECK),
    )
    options = config.stash[PLAY_OPTIONS]
    if options.gate == "tolerant" and options.stop != "fixed":
        raise pytest.UsageError(
            "--agentgym-gate tolerant looks at all episodes of a run: leave out "
            f"--agentgym-stop {options.stop}, or use --agentgym-gate certified"
        )


def _switch(config: pytest.Config, ini: str) -> bool:
    """On or off, as the command line says, or else the project's configuration."""
    given = config.getoption(ini)
    text = str(config.getini(ini) if given is None else given).strip().lower()
    if text not in ("", *_WORDS):
        name = ini if given is None else f"--{ini.replace('_', '-')}"
        raise pytest.UsageError(f"{name} {text}: choose on or off")
    return _WORDS.get(text, True)


def _case(text: str) -> ChosenCase:
    case = re.fullmatch(_CASE, text)
    if case is None:
        raise pytest.UsageError(
            f"--agentgym-case {text}: give split and index of a case, such as "
            "held_out-3 or train-0"
        )
    return ChosenCase(
        split="train" if case["split"] == "train" else "held_out",
        number=int(case["number"]),
        positional=case["how"] == "#",
    )
