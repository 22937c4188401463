"""Command line: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import tokenizers
import torch
import transformers
from transformers.utils import logging as hf_logging

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode, UsageParser
from agentgym.policy.build.examples import Rows, in_turn, load_dialogues
from agentgym.policy.build.imitation import competence, train
from agentgym.policy.build.model import make_model, save_policy
from agentgym.policy.build.recipe import Recipe
from agentgym.policy.build.tokenizer import make_tokenizer


def main(arguments: list[str] | None = None) -> int:
    """Builds a policy; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    dialogues, out = options.pop("dialogues"), options.pop("out")
    minutes, clean_out = options.pop("minutes"), options.pop("clean_out")
    try:
        return build(dialogues, out, Recipe(**options), minutes, clean_out)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.USAGE


def build(
    dialogues_files: Sequence[Path],
    out: Path,
    recipe: Recipe,
    minutes: float = float("inf"),
    clean_out: Path | None = None,
) -> int:
    """Trains a policy as the recipe says.

    Args:
        dialogues_files: Of a pack each, with `dialogues(seed, n, *, mistakes, shares)`.
        out: The folder to write.
        recipe: Every number that matters.
        minutes: Stops after so long; the same call goes on later.
        clean_out: Also gets the policy before the mistakes.

    Returns:
        The exit code: `BELOW` when the minutes did not suffice.

    Raises:
        UsageError: A file has no such function.
    """
    begun = time.monotonic()
    torch.use_deterministic_algorithms(True)
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(recipe.threads)
    packs = load_dialogues(dialogues_files)
    spoken = in_turn(
        packs, recipe.seed, recipe.vocabulary_dialogues, mistakes=recipe.mistakes
    )
    tokenizer = make_tokenizer(spoken, recipe.vocabulary)
    model = make_model(tokenizer, recipe)
    rows = Rows(tokenizer, packs)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, packs: {', '.join(packs)}", flush=True)
    judged: dict[str, float] = {}

    def on_competent() -> None:
        judged.update(competence(model, rows, recipe, count=200))
        for name, share in judged.items():
            print(f"{name}: {share:.1%} of 200 fresh dialogues' calls right")
        if clean_out is not None:
            save_policy(model, tokenizer, clean_out, temperature=recipe.temperature)

    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    until = begun + 60 * minutes
    loss = train(
        model, rows, recipe, checkpoint, until=until, on_competent=on_competent
    )
    if loss is None:
        print(f"stopped after {minutes:g} minutes; the same command goes on")
        return ExitCode.BELOW
    save_policy(model, tokenizer, out, temperature=recipe.temperature)
    about = {
        "command": " ".join(
            ["python -m agentgym.policy.build --dialogues", *map(str, dialogues_files)]
        ),
        "recipe": asdict(recipe),
        "steps": recipe.steps,
        "parameters": size,
        "loss": round(loss, 4),
        "competence": {name: round(share, 4) for name, share in judged.items()},
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "versions": _versions(),
    }
    (out / "build.json").write_text(json.dumps(about, indent=2) + "\n")
    checkpoint.unlink()
    return ExitCode.OK


def _versions() -> dict[str, str]:
    return {
        "python": sys.version.split()[0],
        "tokenizers": tokenizers.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _parser() -> argparse.ArgumentParser:
    parser = UsageParser(prog="python -m agentgym.policy.build")
    parser.add_argument(
        "--dialogues",
        type=Path,
        nargs="+",
        required=True,
        help="files with dialogues(), of a pack each",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="stop after so long; the same command goes on later",
    )
    parser.add_argument(
        "--clean-out", type=Path, help="also keep the policy before the mistakes"
    )
    for name, default in asdict(Recipe()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
