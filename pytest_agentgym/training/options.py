"""The options of `--train`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_agentgym.option_values import choice, number

if TYPE_CHECKING:
    from pytest_agentgym.option_groups import OptionGroups

_NEED_TRAIN = (
    *("target", "updates", "budget", "save", "resume"),
    *("train-config", "components", "gateway"),
    *("trainer", "trainer-config", "dry-run"),
)
_SENSELESS = {
    "agentgym_split": (
        "--agentgym-split",
        "it trains on train cases and measures held-out ones",
    ),
    "agentgym_case": ("--agentgym-case", "play one case without --train"),
    "agentgym_threshold": ("--agentgym-threshold", "its gate is --agentgym-target"),
    "agentgym_stop": ("--agentgym-stop", "it plays all episodes of a measurement"),
    "agentgym_plan": ("--agentgym-plan", "plan a measurement without --train"),
    "usepdb": ("--pdb", "stop in an episode without --train"),
    "trace": ("--trace", "stop in an episode without --train"),
}
# Compiled where they are needed: plain `pytest` would pay for it.
_DURATION = (
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?"
)
_RUN = r"\d{8}-\d{6}-[0-9a-f]+"

LATEST = "latest"
"""What `--agentgym-resume` means without a run's id."""


class TrainOptions(NamedTuple):
    """Checked values; None leaves a setting to the file, the run or its default.

    Attributes:
        settings: Fields of `TrainingConfig` that were given, unchecked where they come
            from the file.
        settings_file: That file.
        save: The trained agent's name.
        resume: Id of the run to go on with, or `LATEST`.
        certified: Whether the target must be certain.
        trainer: Who makes the updates: "own", or "verl".
        trainer_file: verl's settings, as the user has them.
        dry_run: Whether only to say what would be done.
        listen: Where runners elsewhere find the gateway: host, port and key.
    """

    settings: dict[str, Any]
    settings_file: Path | None
    save: str | None
    resume: str | None
    certified: bool = False
    trainer: str = "own"
    trainer_file: Path | None = None
    dry_run: bool = False
    listen: tuple[str, int, str] | None = None


LISTEN = pytest.StashKey[tuple[str, int, str] | None]()
"""Where runners elsewhere find the gateway of a measurement: host, port and key."""
TRAIN_OPTIONS = pytest.StashKey[TrainOptions | None]()
"""None without `--train`."""


def add_options(groups: OptionGroups) -> None:
    """Adds the options."""
    group = groups.training
    group.addoption(
        "--train",
        action="store_true",
        default=False,
        dest="agentgym_train",
        help="train the policy, and measure before and after",
    )
    group.addoption(
        "--agentgym-target",
        metavar="SHARE",
        help="reliability to reach (default: 0.95)",
    )
    group.addoption(
        "--agentgym-updates",
        metavar="N",
        help="the most policy updates (default: 100)",
    )
    group.addoption(
        "--agentgym-budget",
        metavar="DURATION",
        help="the most time, as 20m or 1h (default: 20m)",
    )
    group.addoption(
        "--agentgym-save",
        metavar="NAME",
        help="the agent's name (default: the scenarios' folder)",
    )
    group.addoption(
        "--agentgym-resume",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="go on with one that ended early (default: the latest)",
    )
    group.addoption(
        "--agentgym-components",
        metavar="LIST",
        help="what is trained, as tool_selection,output_generation",
    )
    group.addoption(
        "--agentgym-train-config",
        metavar="FILE",
        help="JSON file with fields of TrainingConfig",
    )
    group.addoption(
        "--agentgym-trainer",
        metavar="NAME",
        help="who makes the updates: own (default), or verl on GPUs",
    )
    group.addoption(
        "--agentgym-trainer-config",
        metavar="FILE",
        help="YAML file with settings of verl",
    )
    group.addoption(
        "--agentgym-dry-run",
        action="store_true",
        default=None,
        help="only say what verl would be told, and start nothing",
    )
    group.addoption(
        "--agentgym-listen",
        metavar="HOST:PORT",
        help="where runners on other machines find the gateway",
    )
    group.addoption(
        "--agentgym-gateway",
        metavar="URL",
        help="only play episodes, for the training whose gateway it is",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    config.stash[TRAIN_OPTIONS] = train = read_train_options(config)
    listen = _listen(config.getoption("agentgym_listen"))
    config.stash[LISTEN] = listen if train is None else None


def read_train_options(config: pytest.Config) -> TrainOptions | None:
    """Checks the values; None without `--train`.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """
    if not config.getoption("agentgym_train"):
        for name in _NEED_TRAIN:
            if config.getoption(f"agentgym_{name.replace('-', '_')}") is not None:
                raise pytest.UsageError(
                    f"--agentgym-{name} belongs to a training: add --train"
                )
        return None
    for dest, (option, instead) in _SENSELESS.items():
        if config.getoption(dest, None) in (None, False):
            continue
        # A project may keep the gate of its measurements in its settings.
        if dest != "agentgym_threshold" or _written(config, option):
            raise pytest.UsageError(f"{option} has no place beside --train: {instead}")
    file, settings = _settings_file(config)
    trainer = _trainer(config)
    theirs = config.getoption("agentgym_trainer_config")
    given = {
        "target": _share(config.getoption("agentgym_target")),
        "updates": number(config, "updates", int, 1, 1e9),
        "minutes": _minutes(config.getoption("agentgym_budget")),
        "components": _components(config.getoption("agentgym_components")),
    }
    settings |= {name: value for name, value in given.items() if value is not None}
    return TrainOptions(
        settings=settings,
        settings_file=file,
        save=_name(config.getoption("agentgym_save")),
        resume=_run(config.getoption("agentgym_resume")),
        certified=_certified(config),
        trainer=trainer,
        trainer_file=theirs and config.invocation_params.dir / theirs,
        dry_run=bool(config.getoption("agentgym_dry_run")),
        listen=_listen(config.getoption("agentgym_listen")),
    )


def _written(config: pytest.Config, option: str) -> bool:
    """Whether an option is on the command line, and not in the project's settings."""
    given = (str(each).partition("=")[0] for each in config.invocation_params.args)
    return option in given


def _listen(text: str | None) -> tuple[str, int, str] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    named = host not in ("", "0.0.0.0", "::")  # noqa: S104 - refused
    if not (named and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise pytest.UsageError(
            f"--agentgym-listen {text}: give the address by which other machines reach "
            "this one, and a port, as 10.0.0.5:8080"
        )
    key = os.environ.get("AGL_KEY", "")
    if not key:
        raise pytest.UsageError(
            f"--agentgym-listen {text}: set AGL_KEY, here and for the runners, to a "
            "secret of yours"
        )
    return host, int(port), key


def _trainer(config: pytest.Config) -> str:
    trainer = choice(config, "trainer", "own", "verl")
    if trainer == "verl":
        if config.getoption("agentgym_resume") is not None:
            raise pytest.UsageError(
                "--agentgym-resume has no place beside --agentgym-trainer verl: train "
                "the saved agent further with --agentgym-policy"
            )
        return "verl"
    for name in ("trainer-config", "dry-run"):
        if config.getoption(f"agentgym_{name.replace('-', '_')}") is not None:
            raise pytest.UsageError(
                f"--agentgym-{name} belongs to verl: add --agentgym-trainer verl"
            )
    return "own"


def _certified(config: pytest.Config) -> bool:
    gate = choice(config, "gate", "point", "tolerant", "certified")
    if gate == "tolerant":
        raise pytest.UsageError(
            "--agentgym-gate tolerant has no place beside --train: a training ends "
            "when its target is reached (point), or certain (certified)"
        )
    return bool(gate == "certified")


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise pytest.UsageError(
            f"--agentgym-target {text}: give a share above 0 and up to 1, such as 0.95"
        )
    return value


def _minutes(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(_DURATION, text.strip().lower())
    parts = {} if match is None else match.groupdict(default="0")
    seconds = sum(
        float(parts.get(unit, 0)) * factor
        for unit, factor in (("h", 3600), ("m", 60), ("s", 1))
    )
    if not seconds:
        raise pytest.UsageError(
            f"--agentgym-budget {text}: give a duration such as 20m, 90s or 1h30m"
        )
    return seconds / 60


def _components(text: str | None) -> list[str] | None:
    if text is None:
        return None
    from agentgym.scenarios.components import why_untrainable

    names = [name.strip() for name in text.split(",") if name.strip()]
    reason = why_untrainable(names)
    if reason is not None:
        raise pytest.UsageError(
            f"--agentgym-components {text}: {reason}, separated by commas"
        )
    return sorted(set(names))


def _name(text: str | None) -> str | None:
    if text is None:
        return None
    from agentgym.errors import UsageError
    from agentgym.policy.trained.agent_folder import check_name

    try:
        check_name(text)
    except UsageError as exc:
        raise pytest.UsageError(f"--agentgym-save: {exc}") from None
    return text


def _run(text: str | None) -> str | None:
    if text is None or text == LATEST or re.fullmatch(_RUN, text):
        return text
    raise pytest.UsageError(
        f"--agentgym-resume {text}: this is no run's id; write --agentgym-resume after "
        "the files for the latest training, or --agentgym-resume=ID with the name of a "
        "folder in .agentgym/runs"
    )


def _settings_file(config: pytest.Config) -> tuple[Path | None, dict[str, Any]]:
    text = config.getoption("agentgym_train_config")
    if text is None:
        return None, {}
    path = config.invocation_params.dir / text
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise pytest.UsageError(
            f"--agentgym-train-config {text}: {exc.strerror or exc}"
        ) from exc
    except ValueError as exc:
        raise pytest.UsageError(
            f"--agentgym-train-config {text}: not valid JSON: {exc}"
        ) from exc
    if not isinstance(settings, dict):
        raise pytest.UsageError(
            f"--agentgym-train-config {text}: write an object of settings, such as "
            '{"learning_rate": 0.001}'
        )
    return path, settings
