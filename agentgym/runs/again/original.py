"""The run that is played again: what is known of it, and its command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentgym.endpoint import MASK
from agentgym.errors import UsageError
from agentgym.runs.files.layout import EPISODES, RUNS, SUMMARY, TRAINING
from agentgym.runs.files.store import write_json
from agentgym.runs.files.stored import find_summary, read_summary
from agentgym.runs.summary_json import OriginJson, SummaryJson

_ELSEWHERE = frozenset(
    {
        *("--agentgym-json", "--agentgym-report", "--junitxml", "--junit-xml"),
        *("--agentgym-otel", "--agentgym-baseline", "--agentgym-max-drop"),
    }
)
"""Options that write elsewhere, or judge by another run; each has a value."""
_OF_TRAINING = frozenset({"--agentgym-save", "--agentgym-train-config"})
"""Options with a value that `training.json` has better: the files of some are gone."""
_RESUME = "--agentgym-resume"
_AGAIN = "-again"
"""What is appended to the name of an agent that is trained again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalRun:
    """A run that can be played again.

    Attributes:
        name: Its id.
        folder: The run's.
        root: The project's.
        summary: Its `summary.json`.
        origin: What it was made of.
    """

    name: str
    folder: Path
    root: Path
    summary: SummaryJson
    origin: OriginJson

    @property
    def whole(self) -> bool:
        """Whether its replies must come again: those of our own engine do."""
        sampled = self.origin["sampled"]
        return sampled is not None and sampled["engine"] == "own"

    @property
    def fixed(self) -> bool:
        """Whether it does not depend on time how many episodes it has."""
        return self.summary["stop"] == "fixed" and "training" not in self.summary

    @property
    def addopts(self) -> str:
        """What the environment adds to the options."""
        return shlex.join(_kept(shlex.split(self.origin["addopts"])))

    def arguments(self, scratch: Path) -> Iterator[str]:
        """What follows `pytest --agentgym`.

        Args:
            scratch: Gets the settings of a training.

        Raises:
            UsageError: A file of it is damaged.
        """
        kept = _kept(self.origin["arguments"])
        yield from (word for word in kept if word != "--agentgym")
        training = self.folder / TRAINING
        if not training.is_file():
            return
        try:
            about = json.loads(training.read_text(encoding="utf-8"))
            settings, name = dict(about["config"]), str(about["save"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"{training} is damaged: reproduce another run") from None
        write_json(scratch / TRAINING, settings)
        yield f"--agentgym-train-config={scratch / TRAINING}"
        # The agent of the first run stays the newest of its name.
        yield f"--agentgym-save={name[:60]}{_AGAIN}"


def original_run(given: str, folder: Path) -> OriginalRun:
    """Finds a run that is to be played again.

    Args:
        given: A run's id, the beginning of one, its folder or file, or `latest`.
        folder: Where to look for ids: a folder of runs.

    Raises:
        UsageError: It cannot be played again; the message says why.
    """
    file = find_summary(given, folder)
    summary = read_summary(file)
    run, name = file.parent, summary["run"] or file.parent.name
    if file.name != SUMMARY or not (run / EPISODES).is_file():
        raise UsageError(
            f"{file} has no {EPISODES} beside it: there is nothing to compare with"
        )
    origin = summary.get("origin")
    if origin is None:
        version = summary["versions"].get("agentgym", "an earlier version")
        raise UsageError(
            f"{name} was made by agentgym {version}, which did not keep how it was "
            "started: play it yourself, and compare the two with agentgym compare"
        )
    if summary["interrupted"] or summary["stopped"]:
        why = summary["stopped"] or "it was interrupted"
        raise UsageError(
            f"{name} did not come to its end ({why}): reproduce a whole run"
        )
    _check_command(name, [*origin["arguments"], *shlex.split(origin["addopts"])])
    return OriginalRun(
        name=name,
        folder=run,
        root=_project(run.absolute()),
        summary=summary,
        origin=origin,
    )


def _check_command(name: str, words: Sequence[str]) -> None:
    if any(word.partition("=")[0] == _RESUME for word in words):
        raise UsageError(
            f"{name} was interrupted and resumed, and where that was depends on time: "
            "reproduce a training that ran through"
        )
    if any(MASK in word for word in words):
        raise UsageError(
            f"the command of {name} had a secret, which no file keeps: play it "
            "yourself, and compare the two with agentgym compare"
        )


def _project(run: Path) -> Path:
    """The project of a run; of one that was copied from elsewhere, where we are."""
    return run.parents[2] if run.parts[-3:-1] == RUNS.parts else Path.cwd()


def _kept(words: Sequence[str]) -> Iterator[str]:
    """The arguments without those that write elsewhere."""
    dropped = False
    for word in words:
        if dropped and not word.startswith("-"):
            dropped = False
            continue
        name, equals, _ = word.partition("=")
        with_value = name in _ELSEWHERE or name in _OF_TRAINING
        dropped = with_value and not equals
        if not with_value and word != "--agentgym-otel-content":
            yield word
