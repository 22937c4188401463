"""What masking secrets costs per episode, beside detect-secrets' patterns.

    python benchmarks/secrets_cost.py

The peer takes part where it is installed; it looks at a line, and masks nothing.
"""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentgym.playing.secrets import Secrets

KEY = "sk-proj-4f9a7c1e8b2d6a3f5c0e9b8d"
ROUNDS = 200
WORDS = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "reward.md"
"""English."""


def line(characters: int, secret: str) -> str:
    """An episode's line of about so many characters."""
    rng = random.Random(characters)
    words = WORDS.read_text(encoding="utf-8").replace("//", "").split()
    steps, left = [], characters
    while left > 0:
        text = " ".join(rng.choices(words, k=40)) + f" order {rng.randrange(10_000)}"
        steps.append({"role": "tool", "content": text, "tokens": len(text) // 4})
        left -= len(text) + 50
    steps[len(steps) // 2]["content"] += f" {secret}"
    return json.dumps({"id": "1", "trajectory": steps})


def microseconds(work: Callable[[str], Any], text: str) -> float:
    """Of one call, the median of some."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work(text)
        took.append(time.perf_counter() - begun)
    return sorted(took)[ROUNDS // 2] * 1e6


def peer() -> Callable[[str], Any] | None:
    """detect-secrets' patterns on one line, without its looks at entropy."""
    try:
        from detect_secrets.core.plugins.util import (
            get_mapping_from_secret_type_to_class,
        )
    except ImportError:
        return None
    skipped = ("HighEntropy", "Keyword")
    kinds = get_mapping_from_secret_type_to_class().values()
    made = [kind() for kind in kinds if not any(x in kind.__name__ for x in skipped)]
    return lambda text: [list(each.analyze_string(text)) for each in made]


def main() -> None:
    """Prints a row for each size."""
    secrets, detect = Secrets(os.environ), peer()

    def mask(text: str) -> str:
        if not secrets.may_be_in(text):
            return text
        return json.dumps(secrets.episode(json.loads(text)))

    print("characters  none in it, us  one in it, us  detect-secrets, none in it, us")
    for characters in (1_000, 3_000, 10_000, 30_000):
        plain, planted = line(characters, "nothing"), line(characters, KEY)
        assert mask(plain) == plain
        assert KEY not in mask(planted)
        none, one = microseconds(mask, plain), microseconds(mask, planted)
        theirs = "-" if detect is None else f"{microseconds(detect, plain):.0f}"
        print(f"{len(plain):10}  {none:14.1f}  {one:13.0f}  {theirs:>30}")


if __name__ == "__main__":
    main()
