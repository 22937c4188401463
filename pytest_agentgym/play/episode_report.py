"""What crosses from the process that plays to the one that reports."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from agentgym.errors import HarnessError
from agentgym.playing.episode import Episode
from agentgym.playing.secrets import Secrets
from agentgym.recording.blame import Outcome, describe
from agentgym.recording.plain import MAX_SIZE, printed
from pytest_agentgym.play.keeping_secrets import secrets_of

_TYPE = "AgentgymEpisodes"
MAX_LINE = 4_000_000
"""Characters of an episode's line, nearly: what has more is cut further."""
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=printed, ensure_ascii=True)


class EpisodeReport(pytest.TestReport):
    """Episodes that finished; sent while the item is still running.

    Attributes:
        lines: The finished episodes as JSON, one each.
        planned: Episodes of all collected scenarios of the run.
        of_scenario: Those of this scenario.
        in_flight: Those of this scenario that are being played.
        one_case: Whether all episodes of the scenario are repeats of one case.
        listed: Cases that the scenario lists; 0 where they are generated.
        prompts: By digest, what models were asked by in them, if this process has not
            sent it before.
        skips: Why each case was left out that was skipped since the last report.
    """

    def __init__(
        self,
        *,
        lines: Sequence[str],
        planned: int,
        of_scenario: int = 0,
        in_flight: int = 0,
        one_case: bool = False,
        listed: int = 0,
        prompts: Mapping[str, Any] | None = None,
        skips: Sequence[str] = (),
        **report: Any,
    ) -> None:
        super().__init__(**report)
        self.prompts = dict(prompts or {})
        self.lines = list(lines)
        self.planned = planned
        self.of_scenario = of_scenario
        self.in_flight = in_flight
        self.one_case = one_case
        self.listed = listed
        self.skips = list(skips)
        self._episodes: list[Episode] | None = None

    @classmethod
    def of(
        cls,
        item: pytest.Item,
        episodes: list[Episode],
        planned: int,
        *,
        of_scenario: int = 0,
        in_flight: int = 0,
        one_case: bool = False,
        listed: int = 0,
        skips: Sequence[str] = (),
    ) -> EpisodeReport:
        """The report of episodes that just finished in this process.

        Args:
            item: The scenario.
            episodes: None of them says that the scenario begins.
            planned: Episodes of all collected scenarios of the run.
            of_scenario: Those of this scenario.
            in_flight: Those of this scenario that are being played.
            one_case: Whether all of its episodes are repeats of one case.
            listed: Cases that it lists; 0 where they are generated.
            skips: Why each case was left out that was skipped since the last report.
        """
        lines, kept = [], []
        secrets = secrets_of(item.config)
        for episode in episodes:
            line, as_kept = _masked(*dumped(episode), secrets)
            lines.append(line)
            kept.append(as_kept)
        report = cls(
            lines=lines,
            planned=planned,
            of_scenario=of_scenario,
            in_flight=in_flight,
            prompts=_new_prompts(item.config, episodes, secrets),
            one_case=one_case,
            listed=listed,
            skips=skips,
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed",
            longrepr=None,
            # Not "call": other plugins count calls as finished tests.
            when="episode",
            duration=0.0,
        )
        report._episodes = kept
        return report

    @property
    def episodes(self) -> list[Episode]:
        """The finished episodes."""
        if self._episodes is None:
            self._episodes = [
                Episode.from_json(json.loads(line)) for line in self.lines
            ]
        return self._episodes

    def release(self) -> None:
        """Forgets the episodes."""
        self.lines, self._episodes = [], None


_SENT = pytest.StashKey[set[str]]()


def _new_prompts(
    config: pytest.Config, episodes: list[Episode], secrets: Secrets | None
) -> dict[str, Any]:
    """What the main process has not got from this one."""
    sent = config.stash.setdefault(_SENT, set())
    new = {
        digest: prompt
        for episode in episodes
        for digest, prompt in episode.trajectory.prompts.items()
        if digest not in sent
    }
    sent.update(new)
    return new if secrets is None else {d: secrets.value(p) for d, p in new.items()}


def sent_home(item: pytest.Item, episode: Episode, *, one_case: bool) -> dict[str, Any]:
    """An episode as a runner elsewhere sends it, which shares no file with its run.

    Args:
        item: The scenario.
        episode: As it is stored here.
        one_case: Whether all of the scenario's episodes are repeats of one case.

    Returns:
        Its line, the prompts that models were asked by, by digest, and what is told of
        its scenario.
    """
    prompts, secrets = episode.trajectory.prompts, secrets_of(item.config)
    if secrets is not None:
        prompts = {digest: secrets.value(p) for digest, p in prompts.items()}
    about = {"location": item.location, "one_case": one_case}
    return {"line": dump(episode), "prompts": prompts, **about}


def come_home(sent: Mapping[str, Any]) -> Episode:
    """The episode of `sent_home`."""
    episode = Episode.from_json(json.loads(sent["line"]))
    episode.trajectory.prompts = dict(sent["prompts"])
    return episode


def dump(episode: Episode) -> str:
    """One line of `episodes.jsonl`."""
    line = _ENCODER.encode(episode.to_json())
    if len(line) > MAX_LINE:
        # Characters that take several in JSON.
        again = dataclasses.replace(episode.trajectory)
        episode.trajectory = again.kept(MAX_SIZE // 10)
        line = _ENCODER.encode(episode.to_json())
    return line


def _masked(
    line: str, episode: Episode, secrets: Secrets | None
) -> tuple[str, Episode]:
    """The same without secrets."""
    if secrets is None or not secrets.may_be_in(line):
        return line, episode
    data = secrets.episode(json.loads(line))
    prompts = episode.trajectory.prompts
    masked = Episode.from_json(data)
    masked.trajectory.prompts = prompts
    return _ENCODER.encode(data), masked


def dumped(episode: Episode) -> tuple[str, Episode]:
    """The episode's line, and the episode; without what a hook made unfit for JSON."""
    try:
        return dump(episode), episode
    except Exception as exc:  # noqa: BLE001 - one episode must not end the scenario
        error = HarnessError(f"the episode cannot be kept: {describe(exc)}")
        left = Episode(
            id=episode.id,
            scenario=episode.scenario,
            index=episode.index,
            outcome=Outcome.harness_error,
            reward=0.0,
            start=episode.start,
            error=describe(error),
        )
        return dump(left), left


@pytest.hookimpl(tryfirst=True)
def pytest_report_to_serializable(report: object) -> dict[str, Any] | None:
    """Serializes an episode report for xdist."""
    if not isinstance(report, EpisodeReport):
        return None
    return {
        "$report_type": _TYPE,
        "lines": report.lines,
        "planned": report.planned,
        "of_scenario": report.of_scenario,
        "in_flight": report.in_flight,
        "prompts": report.prompts,
        "one_case": report.one_case,
        "listed": report.listed,
        "skips": report.skips,
        "nodeid": report.nodeid,
        "location": report.location,
    }


@pytest.hookimpl(tryfirst=True)
def pytest_report_from_serializable(data: dict[str, Any]) -> EpisodeReport | None:
    """Rebuilds an episode report in the main process."""
    if data.get("$report_type") != _TYPE:
        return None
    return EpisodeReport(
        lines=data["lines"],
        planned=data["planned"],
        of_scenario=data["of_scenario"],
        in_flight=data["in_flight"],
        prompts=data["prompts"],
        one_case=data["one_case"],
        listed=data["listed"],
        skips=data["skips"],
        nodeid=data["nodeid"],
        location=tuple(data["location"]),
        keywords={},
        outcome="passed",
        longrepr=None,
        when="episode",
        duration=0.0,
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_logreport(report: object) -> Generator[None, object, object]:
    """Forgets the episodes that a report brought, once all plugins have taken them in.

    pytest keeps every report to the end of the run.
    """
    try:
        return (yield)
    finally:
        if isinstance(report, EpisodeReport):
            report.release()


def pytest_report_teststatus(report: object) -> tuple[str, str, str] | None:
    """Keeps episode reports out of the count of tests, and the letters to us."""
    if isinstance(report, EpisodeReport):
        return "", "", ""
    if getattr(report, "agentgym", None) and getattr(report, "when", None) == "call":
        outcome = report.outcome  # type: ignore[attr-defined]
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if outcome == "skipped" else "xpassed"
            return outcome, "", outcome.removesuffix("ed").upper()
        return outcome, "", outcome.upper()
    return None
