"""Learning curves of the algorithms that `docs/training.md` compares, on one core.

python benchmarks/algorithms.py --variant default --seeds 0 1 2 --out curves.jsonl
"""

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from in_process import World, install, shuffled

from agentgym.policy import embedded_path
from agentgym.policy.loading import load
from agentgym.scenarios import TRAINABLE_COMPONENTS
from agentgym.training.batch import Sample, informative, make_batch
from agentgym.training.config import TrainingConfig
from agentgym.training.curriculum import Curriculum
from agentgym.training.update import Updater

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
}


def reliability(world: World, seed: int, count: int) -> tuple[float, dict[str, float]]:
    """Held-out reliability, all scenarios counting alike."""
    names = list(world.scenarios)
    wanted = [
        (n, world.case(n, "held_out", i, seed)) for i in range(count) for n in names
    ]
    played = world.play(wanted, trained=frozenset(), train=False)
    each = {n: sum(s.passed for s in played if s.scenario == n) / count for n in names}
    return sum(each.values()) / len(each), each


def learn(variant: dict[str, Any], seed: int, options: Any) -> Any:
    """Trains once; yields a row per update."""
    variant = dict(variant)
    shuffle, rft = variant.pop("shuffle", False), variant.pop("rft", False)
    config = TrainingConfig(**variant)
    torch.set_num_threads(1)
    world = World()
    updater = Updater(load(embedded_path(), "cpu"), config, seed=seed)
    curriculum = Curriculum(
        list(world.scenarios), seed=seed, adaptive=config.adaptive_cases
    )
    rng = random.Random(seed)
    on = config.components
    trained = frozenset(
        on if on is not None else [c for c, t in TRAINABLE_COMPONENTS.items() if t]
    )
    episodes = 0
    begun = time.monotonic()
    for update in range(options.updates + 1):
        row: dict[str, Any] = {"seed": seed, "update": update, "episodes": episodes}
        if update % options.every == 0:
            value, each = reliability(world, 0, options.held_out)
            row |= {"held_out": value, "worst": min(each.values())}
        sampled = time.monotonic()
        groups: list[list[Sample]] = []
        dropped = 0
        limit = 2 * config.groups * config.group_size + episodes
        while len(groups) < config.groups and episodes < limit:
            share = len(groups) / (len(groups) + dropped) if groups else 1.0
            count = math.ceil((config.groups - len(groups)) / share)
            count = min(count, (limit - episodes) // config.group_size)
            drawn = curriculum.draw(count)
            wanted = []
            for name in drawn:
                case = world.case(name, "train", curriculum.next_case(name), seed + 1)
                wanted += [(name, case)] * config.group_size
            played = world.play(wanted, trained=trained, train=True)
            episodes += len(played)
            for sample in played:
                curriculum.observe(sample.scenario, passed=sample.passed, played=1)
            size = config.group_size
            for first in range(0, len(played), size):
                group = played[first : first + size]
                if informative(group, config.reward):
                    groups.append(group)
                else:
                    dropped += 1
            if not config.dynamic_sampling:
                break
        row["train"] = curriculum.reliability
        curriculum.updated()
        row["dropped"], row["groups"] = dropped, len(groups)
        row["reward"] = sum(s.reward for g in groups for s in g) / max(
            1, sum(map(len, groups))
        )
        row["sampling"] = time.monotonic() - sampled
        if groups and update < options.updates:
            if shuffle:
                every = [s for g in groups for s in g]
                for sample, (reward, passed) in zip(
                    every, shuffled(rng, [(s.reward, s.passed) for s in every])
                ):
                    sample.reward, sample.passed = reward, passed
            batch = make_batch(groups, advantage=config.advantage, reward=config.reward)
            if rft:
                # Rejection sampling: every good episode alike, no other at all.
                good = [s.passed for g in groups for s in g for _ in s.rows]
                for made, passed in zip(batch, good):
                    made.advantages = [0.5 * passed] * len(made.advantages)
            metrics = updater.update(batch, episodes=episodes - row["episodes"])
            install(world, updater.model)
            world.engine._cache = world.engine._make_cache()
            torch.set_num_threads(1)
            row |= {
                k: getattr(metrics, k)
                for k in ("entropy", "kl", "drift", "gap", "grad_norm", "clip_share")
            }
            row["learning"] = metrics.seconds
        row["seconds"] = time.monotonic() - begun
        yield row
    world.engine.close()


def main() -> None:
    """Runs variants and seeds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="default")
    parser.add_argument("--set", nargs="*", default=[], help="field=JSON of the config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--every", type=int, default=5, help="updates a measurement")
    parser.add_argument("--held-out", type=int, default=12, help="cases a scenario")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    variant = dict(VARIANTS[options.variant])
    for assignment in options.set:
        key, _, value = assignment.partition("=")
        variant[key] = json.loads(value)
    for seed in options.seeds:
        for row in learn(variant, seed, options):
            row = {
                k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()
            }
            row = {"variant": options.variant, "set": options.set} | row
            print(json.dumps(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
