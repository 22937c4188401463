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


def add_options(group: pytest.OptionGroup) -> None:
    """Adds the options."""
    _add_limits(group)
    _add_state_check(group)
    group.addoption(
        "--agentgym-seed",
        metavar="N",
        help="the same seed gives the same cases (default: 0)",
    )
    group.addoption(
        "--agentgym-split",
        metavar="SPLIT",
        help="cases to play: held_out, train (default: held_out where cases are "
        "generated, all where they are listed)",
    )
    group.addoption(
        "--agentgym-case",
        metavar="ID",
        action="append",
        help="play only this case, such as held_out-3 (split and index), and once "
        "unless --agentgym-episodes says more; may be given several times",
    )
    group.addoption(
        "--agentgym-threshold",
        metavar="SHARE",
        help=f"reliability that passes, in [0, 1] (default: {DEFAULT_THRESHOLD})",
    )
    group.addoption(
        "--agentgym-gate",
        metavar="GATE",
        help="what passes: point (default), a measured share that reaches the "
        "threshold; tolerant, whatever is not certain to be below it, so that chance "
        "fails at most 5 %% of runs; certified, a verdict RELIABLE of the run and of "
        "every scenario",
    )
    group.addoption(
        "--agentgym-stop",
        metavar="WHEN",
        help="fixed (default): play all episodes; sequential: until a scenario is "
        "certified above or below its threshold, and no more once no scenario can save "
        "the run; grouped: the same, but looked at after each tenth of the episodes, "
        "which takes fewer where an agent is near the threshold",
    )


def _add_state_check(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-state-check",
        metavar="SWITCH",
        help="off: play on although an agent is seen to keep its state between "
        "episodes (default: on; ini: agentgym_state_check)",
    )


def _add_limits(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-episodes",
        metavar="N",
        help="episodes per scenario (default: the scenario's own, 32)",
    )
    group.addoption(
        "--agentgym-concurrency",
        metavar="N",
        help="episodes in flight per process (default: as many as pay, from 8 per core "
        "to 256; fewer where a model's server refuses)",
    )
    group.addoption(
        "--agentgym-timeout",
        metavar="SECONDS",
        help="limit for each of an episode's set-up, body and tear-down (default: "
        f"{DEFAULT_TIMEOUT:g})",
    )
    group.addoption(
        "--agentgym-max-tool-calls",
        metavar="N",
        help=f"tool calls that one episode may make (default: {DEFAULT_TOOL_CALLS})",
    )
    group.addoption(
        "--agentgym-infra-retries",
        metavar="N",
        help="new attempts after a failure of the model server or network "
        f"(default: {DEFAULT_INFRA_RETRIES})",
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
