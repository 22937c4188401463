"""How many episodes a verdict takes, and how often it is wrong.

    python benchmarks/early_stopping.py [--runs 2000] [--most 2000]

Simulates runs of one scenario, one episode in flight, against a threshold of 95 % at
95 % confidence: the exact test of 59 episodes, our sequential gate, and that of
pytest-probability (`pip install pytest-probability`), whose bounds are taken from the
installed package. A sequential gate ends undecided after `--most` episodes. Then our
three ways to stop, with the episodes that certify an agent of 97 % in 80 % of runs.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentgym.reliability import GroupedTest, SequentialTest, Verdict, judge
from agentgym.reliability.run_lengths import (
    episodes_for_all,
    grouped_episodes,
    sequential_episodes,
)

THRESHOLD, CONFIDENCE, FIXED = 0.95, 0.95, 59
RELIABILITIES = (0.80, 0.85, 0.90, 0.93, 0.949, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)

Gate = Callable[[int, int], Verdict]
"""What is certain after so many passed and failed episodes."""


def exact(episodes: int) -> Gate:
    """Fixed beforehand: nothing is said before the last episode."""

    def gate(passed: int, failed: int) -> Verdict:
        if passed + failed < episodes:
            return Verdict.undecided
        return judge(passed, episodes, THRESHOLD).verdict

    return gate


def same_power() -> list[tuple[str, Gate | None, int]]:
    """Our ways to stop, each planned for an agent of 97 %."""
    fixed = episodes_for_all(0.97, THRESHOLD, gates=1)
    sequential = sequential_episodes(0.97, THRESHOLD, gates=1)
    grouped = grouped_episodes(0.97, THRESHOLD, gates=1)
    assert fixed is not None
    assert sequential is not None
    assert grouped is not None
    most, groups = sequential[0], grouped[0]
    return [
        (f"agentgym, fixed, {fixed} episodes", exact(fixed), fixed),
        (
            f"agentgym, sequential, at most {most}",
            SequentialTest(THRESHOLD).verdict,
            most,
        ),
        (
            f"agentgym, grouped, at most {groups}",
            GroupedTest(groups, THRESHOLD).verdict,
            groups,
        ),
    ]


def peer() -> Gate | None:
    """pytest-probability's gate, if it is installed."""
    try:
        from pytest_probability.stats import confidence_sequence
    except ImportError:
        return None

    @cache
    def gate(passed: int, failed: int) -> Verdict:
        low, high = confidence_sequence(passed, passed + failed, CONFIDENCE)
        if low >= THRESHOLD:
            return Verdict.reliable
        return Verdict.unreliable if high < THRESHOLD else Verdict.undecided

    return gate


def play(gate: Gate, most: int, reliability: float, rng: random.Random) -> list[int]:
    """Episodes of one run, and -1, 0 or 1 for unreliable, undecided, reliable.

    Args:
        gate: Decides when the run ends.
        most: Episodes after which it ends undecided.
        reliability: The true one.
        rng: The generator of chance.
    """
    passed = failed = 0
    while passed + failed < most:
        good = rng.random() < reliability
        passed, failed = passed + good, failed + (not good)
        verdict = gate(passed, failed)
        if verdict is not Verdict.undecided:
            return [passed + failed, 1 if verdict is Verdict.reliable else -1]
    return [most, 0]


def main() -> None:
    """Prints a table for each gate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--most", type=int, default=2000)
    args = parser.parse_args()
    gates: list[tuple[str, Gate | None, int]] = [
        (f"exact test, {FIXED} episodes", exact(FIXED), FIXED),
        ("agentgym, sequential", SequentialTest(THRESHOLD).verdict, args.most),
        ("pytest-probability, sequential", peer(), args.most),
        *same_power(),
    ]
    for name, gate, most in gates:
        if gate is None:
            print(f"\n{name}: not installed")
            continue
        clean = next(n for n in range(1, 10_000) if gate(n, 0) is Verdict.reliable)
        print(f"\n{name}: {clean} clean episodes certify {THRESHOLD:.0%}")
        print(f"{'truly':>9}{'median':>9}{'mean':>9}{'decided':>9}{'wrong':>8}")
        for reliability in RELIABILITIES:
            rng = random.Random(0)
            seen = [play(gate, most, reliability, rng) for _ in range(args.runs)]
            median = statistics.median(episodes for episodes, _ in seen)
            mean = statistics.fmean(episodes for episodes, _ in seen)
            right = 1 if reliability >= THRESHOLD else -1
            decided = sum(found != 0 for _, found in seen) / args.runs
            wrong = sum(found == -right for _, found in seen) / args.runs
            cells = f"{median:>9.0f}{mean:>9.0f}{decided:>9.0%}{wrong:>8.1%}"
            print(f"{reliability:>9.1%}{cells}")


if __name__ == "__main__":
    main()
