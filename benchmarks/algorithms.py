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
from agentgym.scenarios import TRAINABLE_COMPONENTS, settings_of
from agentgym.training.batch import Sample, informative, make_batch
from agentgym.training.config import TrainingConfig
from agentgym.training.curriculum import Curriculum
from agentgym.training import update as update_module
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
    played = world.play(wanted, trained={}, train=False)
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
    average: dict[str, torch.Tensor] | None = None
    on = config.components
    trained = {
        name: frozenset(on)
        if on is not None
        else frozenset(
            component
            for component, wanted in {
                **TRAINABLE_COMPONENTS,
                **(settings_of(function).trainable_components or {}),
            }.items()
            if wanted
        )
        for name, function in world.scenarios.items()
    }
    episodes, first = 0, 0.0
    begun = time.monotonic()
    for update in range(options.updates + 1):
        row: dict[str, Any] = {"seed": seed, "update": update, "episodes": episodes}
        if update % options.every == 0:
            value, each = reliability(world, 0, options.held_out)
            row |= {"held_out": value, "worst": min(each.values())}
            if average is not None and options.ema:
                now = {n: p.detach().clone() for n, p in updater.parameters.items()}
                updater._assign(average)
                install(world, updater.model)
                world.engine._cache = world.engine._make_cache()
                torch.set_num_threads(1)
                value, each = reliability(world, 0, options.held_out)
                row |= {"averaged": value, "averaged_worst": min(each.values())}
                updater._assign(now)
                install(world, updater.model)
                world.engine._cache = world.engine._make_cache()
                torch.set_num_threads(1)
        sampled = time.monotonic()
        groups: list[list[Sample]] = []
        dropped = 0
        limit = 2 * config.groups * config.group_size + episodes
        while len(groups) < config.groups and episodes < limit:
            share = len(groups) / (len(groups) + dropped) if groups else 1.0
            count = math.ceil((config.groups - len(groups)) / share)
            count = min(count, (limit - episodes) // config.group_size)
            drawn = curriculum.groups(count)
            wanted = [
                (d.scenario, world.case(d.scenario, "train", d.case, seed + 1))
                for d in drawn
                for _ in range(config.group_size)
            ]
            played = world.play(wanted, trained=trained, train=True)
            episodes += len(played)
            for place, one in enumerate(drawn):
                size = config.group_size
                group = played[place * size : (place + 1) * size]
                passed = sum(sample.passed for sample in group)
                curriculum.played(one, passed=passed, played=size)
                if informative(group, config.reward):
                    groups.append(group)
                else:
                    dropped += 1
            if not config.dynamic_sampling:
                break
        row["train"] = curriculum.reliability
        if options.failures and update % options.every == 0:
            with options.failures.open("a") as file:
                for sample in (s for g in groups for s in g if not s.passed):
                    low = []
                    for r in sample.rows:
                        for place, lp, part in zip(r.sampled, r.logprobs, r.components):
                            if lp < -1.2:
                                text = world.policy.tokenizer.decode(
                                    r.ids[max(0, place - 6) : place]
                                )
                                token = world.policy.tokenizer.decode([r.ids[place]])
                                low.append([round(lp, 1), part[:6], text, token])
                    file.write(json.dumps([update, sample.scenario, low]) + "\n")
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
            batch = make_batch(
                groups,
                advantage=config.advantage,
                reward=config.reward,
                token_mean=config.token_mean,
            )
            if rft:
                # Rejection sampling: every good episode alike, no other at all.
                good = [s.passed for g in groups for s in g for _ in s.rows]
                for made, passed in zip(batch, good):
                    made.advantages = [0.5 * passed] * len(made.advantages)
            failing = 1 - row["train"]
            first = first or failing
            scale = min(1.0, max(failing / first, 0.01) ** options.anneal)
            row["scale"] = scale
            metrics = updater.update(
                batch, episodes=episodes - row["episodes"], scale=scale
            )
            if average is None:
                average = {n: p.detach().clone() for n, p in updater.parameters.items()}
            for name, parameter in updater.parameters.items():
                average[name].lerp_(parameter.detach(), 1 - options.ema)
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
    parser.add_argument("--ema", type=float, default=0.0, help="averages the weights")
    parser.add_argument("--failures", type=Path)
    parser.add_argument("--anneal", type=float, default=0.0)
    parser.add_argument("--clip", type=float, help="largest gradient norm")
    options = parser.parse_args()
    variant = dict(VARIANTS[options.variant])
    if options.clip:
        update_module.MAX_GRADIENT = options.clip
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
