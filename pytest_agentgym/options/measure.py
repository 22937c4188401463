"""The command-line options and their checked values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentgym.runs.outcome_sequence import Stop
    from agentgym.runs.summary import Gate
    from agentgym.scenarios.cases import Split
    from pytest_agentgym.options.cost import CostOptions
    from pytest_agentgym.options.train import TrainOptions

DEFAULT_THRESHOLD = 0.95
DEFAULT_TIMEOUT = 300.0
DEFAULT_TOOL_CALLS = 50
DEFAULT_INFRA_RETRIES = 2
_CASE = re.compile(r"(?P<split>train|held[_-]out)(?P<how>[-#])(?P<number>\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCase:
    """The one case to play.

    Attributes:
        split: The split that it comes from.
        number: Its index, or its position.
        positional: Whether cases are counted within their split, as a training does:
            listed values of both splits are numbered together.
    """

    split: Split
    number: int
    positional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Checked values of the `--agentgym-*` options."""

    episodes: int | None
    concurrency: int | None
    timeout: float
    max_tool_calls: int
    infra_retries: int
    seed: int
    split: Split | None
    case: ChosenCase | None
    threshold: float
    gate: Gate
    stop: Stop
    plan: bool
    policy: str
    json_path: str | None
    report_path: str | None
    cost: CostOptions
    judge: str | None
    user: str | None
    baseline: str | None
    max_drop: float | None
    train: TrainOptions | None


def add_options(parser: pytest.Parser) -> None:
    """Registers the options."""
    group = parser.getgroup("agentgym", "measure the tool reliability of an agent")

    def option(name: str, metavar: str | None, help: str, **kw: Any) -> None:  # noqa: A002
        kw.setdefault("default", None)
        if metavar is not None:
            kw["metavar"] = metavar
        group.addoption(f"--agentgym{name}", help=help, **kw)

    group.addoption(
        "--agentgym",
        action="store_true",
        default=False,
        help="run scenarios and report the agent's tool reliability",
    )
    option("-episodes", "N", "episodes per scenario (default: the scenario's own, 32)")
    option(
        "-concurrency",
        "N",
        "episodes in flight per process (default: 8 per core, at most 32)",
    )
    option(
        "-timeout", "SECONDS", f"limit for one episode (default: {DEFAULT_TIMEOUT:g})"
    )
    option(
        "-max-tool-calls",
        "N",
        f"tool calls that one episode may make (default: {DEFAULT_TOOL_CALLS})",
    )
    option(
        "-infra-retries",
        "N",
        "new attempts after a failure of the model server or network "
        f"(default: {DEFAULT_INFRA_RETRIES})",
    )
    option("-seed", "N", "the same seed gives the same cases (default: 0)")
    option(
        "-split",
        "SPLIT",
        "cases to play: held_out, train (default: held_out where cases are generated, "
        "all where they are listed)",
    )
    option(
        "-case",
        "ID",
        "play only this case, such as held_out-3 (split and index), and once unless "
        "--agentgym-episodes says more",
    )
    option(
        "-threshold",
        "SHARE",
        f"reliability that passes, in [0, 1] (default: {DEFAULT_THRESHOLD})",
    )
    option(
        "-gate",
        "GATE",
        "what passes: point (default), a measured share that reaches the threshold, or "
        "certified, a verdict RELIABLE of the run and of every scenario",
    )
    option(
        "-stop",
        "WHEN",
        "fixed (default): play all episodes; sequential: until a scenario is certified "
        "above or below its threshold, and no more once no scenario can save the run",
    )
    option(
        "-plan",
        None,
        "play nothing; say how many episodes certify the threshold, and what they cost",
        action="store_true",
        default=False,
    )
    option(
        "-policy",
        "POLICY",
        "model behind the `policy` fixture: 'embedded' (default), the path of a "
        "Hugging Face model, or the URL of an OpenAI-compatible endpoint, URL#MODEL",
    )
    option("-json", "PATH", "write the summary there, too")
    option("-report", "PATH", "write the report as one HTML file there, too")
    option(
        "-price",
        "MODEL=IN/OUT",
        "price of a million prompt and completion tokens in US dollars, in place of "
        "the list's; * stands for anything; may be given several times",
        action="append",
    )
    option(
        "-otel",
        "URL",
        "export the episodes to an OpenTelemetry collector over OTLP/HTTP (without a "
        "URL: where the OTEL_* environment variables say)",
        nargs="?",
        const="",
    )
    option(
        "-otel-content",
        None,
        "--agentgym-otel: with messages, tool arguments and results",
        action="store_true",
        default=False,
    )
    option("-max-cost", "DOLLARS", "start no further episode once they are spent")
    option("-max-tokens", "N", "start no further episode once they are used")
    option(
        "-judge",
        "URL#MODEL",
        "model that answers judge(...), at an OpenAI-compatible endpoint; its key "
        "comes from the environment variable AGENTGYM_JUDGE_KEY",
    )
    option(
        "-user",
        "URL#MODEL",
        "model that plays SimulatedUser(...); its key comes from AGENTGYM_USER_KEY "
        "(default: the judge's model and key)",
    )
    option(
        "-baseline",
        "RUN",
        "compare with an earlier run: its id, folder, summary.json or episodes.jsonl, "
        "or 'latest'",
    )
    option(
        "-max-drop",
        "SHARE",
        "fail if reliability is certain to have dropped by more since the baseline, "
        "such as 0.02; with --agentgym-gate certified: unless it is certain not to",
    )
    group.addoption(
        "--train",
        action="store_true",
        default=False,
        dest="agentgym_train",
        help="with --agentgym: improve the policy on the scenarios' train cases, "
        "measure before and after, and save a trained agent",
    )
    option("-target", "SHARE", "--train: reliability to reach (default: 0.95)")
    option("-updates", "N", "--train: the most policy updates (default: 100)")
    option("-budget", "DURATION", "--train: the most time, as 20m or 1h (default: 20m)")
    option(
        "-save", "NAME", "--train: the agent's name (default: the scenarios' folder)"
    )
    option(
        "-resume",
        "RUN",
        "--train: go on with a training that ended early (default: the latest)",
        nargs="?",
        const="latest",
    )
    option("-train-config", "FILE", "--train: JSON file with fields of TrainingConfig")
    option(
        "-components",
        "LIST",
        "--train: what is trained, of tool_selection, parameter_selection and "
        "output_generation, separated by commas (default: the scenarios' own)",
    )


def read_options(config: pytest.Config) -> Options:
    """Checks the values.

    Raises:
        pytest.UsageError: One clear sentence for the first value that is wrong.
    """

    def number(name: str, kind: type, low: float, high: float, default: Any) -> Any:
        text = config.getoption(f"agentgym_{name.replace('-', '_')}")
        if text is None:
            return default
        wanted = "a whole number" if kind is int else "a number"
        limits = f"from {low:g} to {high:g}" if high < 1e9 else f"of at least {low:g}"
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise pytest.UsageError(f"--agentgym-{name} {text}: give {wanted} {limits}")
        return value

    def choice(name: str, *choices: str) -> Any:
        text = config.getoption(f"agentgym_{name}")
        if text is not None and text not in choices:
            raise pytest.UsageError(
                f"--agentgym-{name} {text}: choose {' or '.join(choices)}"
            )
        return text or choices[0]

    from pytest_agentgym.options.cost import read_cost_options
    from pytest_agentgym.options.train import read_train_options

    baseline = config.getoption("agentgym_baseline")
    if baseline is None and config.getoption("agentgym_max_drop") is not None:
        raise pytest.UsageError(
            "--agentgym-max-drop compares with an earlier run: add --agentgym-baseline "
            "RUN"
        )
    split = config.getoption("agentgym_split")
    if split is not None:
        split = split.replace("-", "_")
        if split not in ("held_out", "train"):
            raise pytest.UsageError(
                f"--agentgym-split {split}: choose held_out or train"
            )
    return Options(
        episodes=number("episodes", int, 1, 1e9, None),
        concurrency=number("concurrency", int, 1, 10_000, None),
        timeout=number("timeout", float, 0.001, 1e9, DEFAULT_TIMEOUT),
        max_tool_calls=number("max-tool-calls", int, 1, 1e9, DEFAULT_TOOL_CALLS),
        infra_retries=number("infra-retries", int, 0, 100, DEFAULT_INFRA_RETRIES),
        seed=number("seed", int, 0, 2**63, 0),
        split=split,
        case=_case(config.getoption("agentgym_case")),
        threshold=number("threshold", float, 0, 1, DEFAULT_THRESHOLD),
        gate=choice("gate", "point", "certified"),
        stop=choice("stop", "fixed", "sequential"),
        plan=config.getoption("agentgym_plan"),
        policy=_policy(config.getoption("agentgym_policy")),
        json_path=config.getoption("agentgym_json"),
        report_path=config.getoption("agentgym_report"),
        cost=read_cost_options(config),
        judge=config.getoption("agentgym_judge"),
        user=config.getoption("agentgym_user"),
        baseline=baseline,
        max_drop=number("max-drop", float, 0, 1, None),
        train=read_train_options(config),
    )


def _policy(given: str | None) -> str:
    if given is not None and not given.strip():
        # As of a variable of CI that is not set: another model would be measured.
        raise pytest.UsageError(
            "--agentgym-policy is empty: name a model, or leave the option out"
        )
    return given or "embedded"


def _case(text: str | None) -> ChosenCase | None:
    if text is None:
        return None
    found = _CASE.fullmatch(text)
    if found is None:
        raise pytest.UsageError(
            f"--agentgym-case {text}: give split and index of a case, such as "
            "held_out-3 or train-0"
        )
    return ChosenCase(
        split="train" if found["split"] == "train" else "held_out",
        number=int(found["number"]),
        positional=found["how"] == "#",
    )
