"""Compares a run with the one that played it again, episode by episode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agentgym.playing.episode import Episode
from agentgym.runs.again.course import course, difference
from agentgym.runs.files.layout import EPISODES
from agentgym.runs.files.store import each_episode
from agentgym.runs.files.updates import read_updates
from agentgym.runs.lines import short_name

Key = tuple[str, str, int]
"""Which episode of a run: its scenario, phase and number, or a rollout's id."""


class _Played(NamedTuple):
    """An episode in short: its id, when it began, a digest of what happened."""

    id: str
    start: float
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came of playing a run again.

    Attributes:
        compared: Episodes that both runs have.
        differing: Those that differ.
        first: The first of them and its first difference, in words.
        only_before: Episodes that only the first run has.
        only_now: Episodes that only the second one has.
        updates: Adapters that were compared, one an update.
        adapter: The first update whose adapter differs; None if none does.
        unequal_updates: How many updates each made, if that differs.
    """

    compared: int
    differing: int
    first: str | None = None
    only_before: int = 0
    only_now: int = 0
    updates: int = 0
    adapter: int | None = None
    unequal_updates: tuple[int, int] | None = None


def compare_again(before: Path, now: Path, *, whole: bool) -> Reproduction:
    """Compares two runs of the same command.

    Args:
        before: Folder of the first run.
        now: Folder of the second one.
        whole: Whether all that happened must be the same, or only what the agent was
            given.

    Raises:
        UsageError: A file cannot be read.
    """
    old, new = _played(before, whole=whole), _played(now, whole=whole)
    both = sorted(old.keys() & new.keys(), key=lambda key: old[key].start)
    differing = [key for key in both if old[key].digest != new[key].digest]
    first = None
    if differing:
        ids = old[differing[0]].id, new[differing[0]].id
        first = _sentence(_episode(before, ids[0]), _episode(now, ids[1]), whole=whole)
    made = _adapters(before), _adapters(now)
    shared = sorted(made[0].keys() & made[1].keys())
    counts = len(made[0]), len(made[1])
    return Reproduction(
        compared=len(both),
        differing=len(differing),
        first=first,
        only_before=len(old) - len(both),
        only_now=len(new) - len(both),
        updates=len(shared),
        adapter=next((n for n in shared if made[0][n] != made[1][n]), None),
        unequal_updates=None if counts[0] == counts[1] else counts,
    )


def _played(folder: Path, *, whole: bool) -> dict[Key, _Played]:
    cut: list[str] = []
    return {
        _key(episode): _Played(
            episode.id,
            episode.start,
            hashlib.blake2b(repr(course(episode, whole=whole)).encode()).digest(),
        )
        for episode in each_episode(folder / EPISODES, cut)
    }


def _key(episode: Episode) -> Key:
    if episode.phase is None or episode.alone:
        return episode.scenario, episode.phase or "", episode.index
    # A training's ids are of its seed; one case may be played again and again.
    return episode.id, "", 0


def _episode(folder: Path, name: str) -> Episode:
    return next(each_episode(folder / EPISODES, [], [name]))


def _sentence(old: Episode, new: Episode, *, whole: bool) -> str:
    found = difference(course(old, whole=whole), course(new, whole=whole))
    case = f"{old.case.get('split')}-{old.case.get('index')}"
    where = f"episode {old.index}, case {case}"
    if old.phase is not None:
        where = f"phase {old.phase}, case {case}, repeat {old.repeat}"
    return f"{short_name(old.scenario)}, {where}: {found}"


def _adapters(folder: Path) -> Mapping[int, str]:
    """The digests of a training's adapters by update."""
    return {
        int(line["update"]): str(line["adapter_sha256"])
        for line in read_updates(folder)
        if "adapter_sha256" in line and "update" in line
    }
