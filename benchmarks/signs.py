"""Looks for signs of reward hacking in trainings that were made before.

python benchmarks/signs.py .agentgym/runs/20260801-120000-ab [MORE ...]
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from agentgym.playing.episode import Episode
from agentgym.runs.files.store import each_episode
from agentgym.training.job.traits import traits_of
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.watch import Watch

Groups = dict[str, dict[str, list[SeenEpisode]]]


def seen(episode: Episode) -> SeenEpisode:
    """The episode as a training would have seen it."""
    return SeenEpisode(
        case=f"{episode.case['split']}-{episode.case['index']}",
        passed=episode.outcome == "passed",
        reward=episode.reward,
        traits=traits_of(episode),
    )


def look(folder: Path) -> None:
    """Prints each sign when it appears, and what is left of them at the end.

    A case counts when it is played first: later it was perhaps chosen for being
    difficult.
    """
    lines = (folder / "updates.jsonl").read_text(encoding="utf-8").splitlines()
    ends = [json.loads(line)["episodes"] for line in lines]
    watch, known, told = Watch(), set[tuple[str, str]](), set[tuple[str, str | None]]()
    measured: dict[str, dict[str, list[SeenEpisode]]] = {"before": {}, "after": {}}
    batch: Groups = defaultdict(lambda: defaultdict(list))
    played = update = 0

    def updated() -> None:
        for name, cases in batch.items():
            fresh = [case for case in cases if (name, case) not in known]
            known.update((name, case) for case in fresh)
            for case in fresh:
                watch.add_trained(name, cases[case], update - 1)
        batch.clear()
        for sign in watch.signs(update):
            if (sign["kind"], sign["scenario"]) not in told:
                told.add((sign["kind"], sign["scenario"]))
                print(f"  update {update}: {sign['scenario']}: {sign['sentence']}")

    for episode in each_episode(folder / "episodes.jsonl", []):
        phase, name = episode.phase or "", episode.scenario
        if not episode.counted:
            continue
        if phase in measured:
            measured[phase].setdefault(name, []).append(seen(episode))
            continue
        if not played:
            watch.measured("before", measured["before"])
        played += 1
        if phase == "train":
            one = seen(episode)
            batch[name][one.case].append(one)
        if update < len(ends) and played >= ends[update]:
            update += 1
            updated()
    watch.measured("after", measured["after"])
    left = watch.signs(update)
    print(
        f"  {len(lines)} updates, {played} episodes: {len(told)} signs while training"
    )
    for sign in left:
        print(f"  at the end: {sign['scenario']}: {sign['sentence']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        print(run)
        look(run)
