"""What the statistics cost for each episode.

    python benchmarks/statistics_cost.py [--episodes 10000]

Adds up made episodes as a run does (with a tool, checks and repeated cases), takes the
sequential decision after each, and asks for the summary's JSON and the verdict once.
"""

import argparse
import itertools
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentgym.playing.episode import Episode
from agentgym.reliability import ALPHA, ScenarioStop, sequential_test
from agentgym.report import certainty
from agentgym.runs.summary import RunSummary
from tests.made_episodes import made_check, made_episode, made_row

LIMIT_MICROSECONDS = 100


def episodes(count: int, scenarios: int, rng: random.Random) -> list[Episode]:
    """Episodes of scenarios with 16 cases each, of which 97 % pass.

    Args:
        count: Of all scenarios together.
        scenarios: How many they are of.
        rng: The generator of chance.
    """
    made = []
    for number in range(count):
        index = number // scenarios
        outcome = "passed" if rng.random() < 0.97 else "failed"
        made.append(
            made_episode(
                index,
                outcome,
                scenario=f"test_shop.py::test_{number % scenarios}",
                case={"index": index % 16, "seed": 1, "split": "held_out"},
                checks=[made_check(outcome, number=i, line=10 + i) for i in range(3)],
                tools=[made_row("look_up", calls=1, correct=1, latencies=[0.1])],
            )
        )
    return made


def seconds_per_episode(made: list[Episode], stop: str, scenarios: int) -> list[float]:
    """Adding up, deciding, and the report, each in seconds per episode.

    Args:
        made: The episodes.
        stop: As --agentgym-stop.
        scenarios: How many they are of.
    """
    summary = RunSummary(threshold=0.95, stop=stop, gate="certified")
    begun = time.perf_counter()
    for episode in made:
        summary.add(episode)
    added = time.perf_counter()
    stops = {
        name: ScenarioStop(sequential_test(0.95, ALPHA / scenarios))
        for name in summary.scenarios
    }
    for episode in made:
        stops[episode.scenario].add(episode.index, episode.outcome == "passed")
    decided = time.perf_counter()
    summary.to_json()
    list(certainty.repeated_cases(summary, 80))
    list(certainty.certified(summary, 80))
    reported = time.perf_counter()
    times = (begun, added, decided, reported)
    return [(b - a) / len(made) for a, b in itertools.pairwise(times)]


def main() -> None:
    """Prints microseconds per episode."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=10_000)
    count = parser.parse_args().episodes
    print(f"{count:,} episodes, microseconds each (limit {LIMIT_MICROSECONDS})")
    print(f"{'':<28}{'add up':>9}{'decide':>9}{'report':>9}{'sum':>9}")
    for scenarios in (1, 18):
        made = episodes(count, scenarios, random.Random(0))
        for stop in ("fixed", "sequential"):
            parts = seconds_per_episode(made, stop, scenarios)
            cells = "".join(f"{1e6 * x:9.1f}" for x in (*parts, sum(parts)))
            print(f"{f'{stop}, scenarios: {scenarios}':<28}{cells}")


if __name__ == "__main__":
    main()
