"""Learning curves of the algorithms that `training.md` here compares, on one core.

python benchmarks/algorithms.py --variant default --seeds 0 1 2 --out curves.jsonl
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from in_process import World, install, shuffled

from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.scenarios.components import TRAINABLE_COMPONENTS
from agentgym.scenarios.scenario import settings_of
from agentgym.training.batch.batch import Sample, informative, make_batch
from agentgym.training.batch.collector import MOST
from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.job.config import TrainingConfig
from agentgym.training.step.update import Updater

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "grpo": {"loss": "grpo"},
    "cispo": {"loss": "cispo"},
    "tis": {"loss": "tis"},
    "std": {"advantage": "std"},
    "mean": {"advantage": "mean"},
    "rloo": {"advantage": "rloo"},
    "one-epoch": {"epochs": 1},
    "one-epoch-std": {"epochs": 1, "advantage": "std"},
    "one-epoch-mean": {"epochs": 1, "advantage": "mean"},
    "one-epoch-rloo": {"epochs": 1, "advantage": "rloo"},
    "rollout-mean": {"token_mean": "rollout"},
    "checks": {"reward": "checks"},
    "plain-cases": {"adaptive_cases": False},
    "not-annealed": {"annealed": False},
    "shuffled": {"shuffle": True},
    "rejection-sampling": {"rejection": True},
}


KEPT_METRICS = ("entropy", "kl", "drift", "mismatch", "grad_norm", "clip_share")


def reliability(world: World, seed: int, count: int) -> tuple[float, dict[str, float]]:
    """Held-out reliability, all scenarios counting alike.

    Args:
        world: Whose policy plays.
        seed: Of the cases.
        count: Cases of each scenario.

    Returns:
        The mean over scenarios and the reliability of each, in [0, 1].
    """
    names = list(world.scenarios)
    wanted = [
        (n, world.case(n, "held_out", i, seed)) for i in range(count) for n in names
    ]
    played = world.play(wanted, trained={}, train=False)
    each = {n: sum(s.passed for s in played if s.scenario == n) / count for n in names}
    return sum(each.values()) / len(each), each


def trained_components(world: World, config: TrainingConfig) -> dict[str, Any]:
    """What is trained in each scenario.

    Args:
        world: Whose scenarios.
        config: Has the last word.
    """
    if config.components is not None:
        return dict.fromkeys(world.scenarios, frozenset(config.components))
    components = {}
    for name, function in world.scenarios.items():
        own = (settings_of(function) or settings_of(World)).trainable_components or {}
        on = {**TRAINABLE_COMPONENTS, **own}
        components[name] = frozenset(part for part, wanted in on.items() if wanted)
    return components


def collect(
    world: World,
    config: TrainingConfig,
    curriculum: Curriculum,
    trained: dict[str, Any],
    seed: int,
) -> tuple[list[list[Sample]], int]:
    """Groups whose rewards differ, and how many episodes were played for them.

    Args:
        world: Whose policy plays.
        config: Sizes of the batch.
        curriculum: Draws the cases.
        trained: Components by scenario.
        seed: Of the cases.
    """
    groups: list[list[Sample]] = []
    size, asked = config.group_size, 0
    most = math.ceil(MOST * config.groups)
    while len(groups) < config.groups and asked < most:
        share = len(groups) / asked if groups else 1.0
        count = math.ceil((config.groups - len(groups)) / max(share, 0.25))
        count = min(count, most - asked)
        asked += count
        drawn = curriculum.groups(count)
        wanted = [
            (d.scenario, world.case(d.scenario, "train", d.case, seed + 1))
            for d in drawn
            for _ in range(size)
        ]
        played = world.play(wanted, trained=trained, train=True)
        for place, one in enumerate(drawn):
            group = played[place * size : (place + 1) * size]
            passed = sum(sample.passed for sample in group)
            curriculum.played(one, passed=passed, played=size)
            if informative(group, config.reward):
                groups.append(group)
        if not config.dynamic_sampling:
            break
    return groups, asked * size


def learn(
    variant: dict[str, Any], seed: int, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Trains once; yields a row per update.

    Args:
        variant: Settings that differ from the defaults, and what the benchmark alone
            knows: `shuffle`, `rejection`, `annealed`.
        seed: Of weights and cases.
        options: Of the command line.
    """
    variant = dict(variant)
    shuffle = variant.pop("shuffle", False)
    rejection = variant.pop("rejection", False)
    annealed = variant.pop("annealed", True)
    config = TrainingConfig(**variant)
    torch.set_num_threads(1)
    world = World()
    updater = Updater(load(embedded_path(), "cpu"), config, seed=seed)
    curriculum = Curriculum(
        list(world.scenarios), seed=seed, adaptive=config.adaptive_cases
    )
    trained = trained_components(world, config)
    rng = random.Random(seed)
    episodes, first = 0, 0.0
    begun = time.monotonic()
    for update in range(options.updates + 1):
        row: dict[str, Any] = {"seed": seed, "update": update, "episodes": episodes}
        if update % options.every == 0:
            value, each = reliability(world, 0, options.held_out)
            row |= {"held_out": value, "worst": min(each.values())}
        if update == options.updates:
            yield row
            break
        groups, played = collect(world, config, curriculum, trained, seed)
        episodes += played
        row["train"] = curriculum.reliability
        failing = 1 - curriculum.reliability
        first = first or failing
        scale = min(1.0, max(failing / first, 0.01) ** 0.5) if annealed else 1.0
        curriculum.updated()
        samples = [sample for group in groups for sample in group]
        if shuffle:
            earned = shuffled(rng, [(s.reward, s.passed) for s in samples])
            for sample, (reward, passed) in zip(samples, earned, strict=True):
                sample.reward, sample.passed = reward, passed
        batch = make_batch(
            groups,
            advantage=config.advantage,
            reward=config.reward,
            token_mean=config.token_mean,
        )
        if rejection:
            # Every good episode alike, and no other at all.
            good = [sample.passed for sample in samples for _ in sample.rows]
            for made, passed in zip(batch, good, strict=True):
                made.advantages = [float(passed)] * len(made.advantages)
        if batch:
            metrics = updater.update(batch, episodes=played, scale=scale)
            install(world, updater.model)
            row |= {name: metrics[name] for name in KEPT_METRICS}
        row["seconds"] = time.monotonic() - begun
        yield row
    world.engine.close()


def main() -> None:
    """Runs a variant with one seed after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="default", choices=VARIANTS)
    parser.add_argument("--set", nargs="*", default=[], help="field=JSON of the config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--every", type=int, default=4, help="updates a measurement")
    parser.add_argument("--held-out", type=int, default=20, help="cases a scenario")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    variant = dict(VARIANTS[options.variant])
    for assignment in options.set:
        key, _, value = assignment.partition("=")
        variant[key] = json.loads(value)
    for seed in options.seeds:
        for row in learn(variant, seed, options):
            row = {"variant": options.variant, "set": options.set} | {
                k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()
            }
            print(json.dumps(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
