"""Cases: the concrete instances of a scenario, made from one seed and split in two."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agentgym.errors import UsageError

Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One concrete instance of a scenario: a seed, a split and perhaps a value.

    Attributes:
        index: Position among the cases of its scenario and split, from 0.
        seed: 32-bit seed, the same for the same `--agentgym-seed`.
        split: Cases to learn from, or cases kept for measuring.
        value: The listed value, or the drawn arguments of `given`.
        params: Arguments which the scenario function may ask for by name.
    """

    index: int
    seed: int
    split: Split
    value: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rng(self) -> random.Random:
        """A fresh generator that starts from the seed at each access."""
        return random.Random(self.seed)  # noqa: S311 - reproducible, not secret

    @property
    def id(self) -> str:
        """Short name, such as `held_out-3`."""
        return f"{self.split}-{self.index}"

    def to_json(self) -> dict[str, Any]:
        """The JSON form that a run file stores."""
        shown = dict(self.params) if self.params else self.value
        return {
            "index": self.index,
            "seed": self.seed,
            "split": self.split,
            "value": None if shown is None else repr(shown)[:500],
        }


class given:  # noqa: N801 - reads like Hypothesis's own decorator
    """Case generators from Hypothesis strategies: `cases=given(order=orders())`.

    Each case draws one example of every strategy; the scenario asks for them as
    arguments of the same names, or reads them from `case.value`.
    """

    def __init__(self, **strategies: Any) -> None:
        if not strategies:
            raise UsageError("given() needs at least one strategy: given(order=...)")
        self.strategies = strategies

    def draw(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Draws up to `count` examples, the same ones for the same seed."""
        try:
            import hypothesis
            from hypothesis import strategies as st
        except ImportError:
            raise UsageError(
                "cases=given(...) needs Hypothesis: pip install 'agentgym[hypothesis]'"
            ) from None
        drawn: list[dict[str, Any]] = []

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(st.fixed_dictionaries(self.strategies))
        def collect(example: dict[str, Any]) -> None:
            drawn.append(example)

        collect()
        return drawn[:count]


Cases = int | Sequence[Any] | given | None


def make_cases(
    cases: Cases, *, count: int, seed: int, scenario: str, split: Split | None
) -> list[Case]:
    """Makes the cases that `count` episodes are played on.

    Args:
        cases: None for a new case per episode, a number of generated cases, listed
            values, or `given(...)`.
        count: Episodes to be played; no more cases than this are made.
        seed: The seed of the run.
        scenario: Name of the scenario; other scenarios get other seeds.
        split: Cases of this split only; None means held-out cases where cases are
            generated, and all of them where values are listed.

    Returns:
        At least one case; episode `i` plays case `i % len(cases)`.

    Raises:
        UsageError: No case is left in this split.
    """

    def seed_of(part: str, index: int) -> int:
        key = f"{seed}/{scenario}/{part}/{index}".encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")

    if cases is None or isinstance(cases, int):
        part: Split = split or "held_out"
        number = count if cases is None else min(cases, count)
        return [Case(index=i, seed=seed_of(part, i), split=part) for i in range(number)]
    if isinstance(cases, given):
        part = split or "held_out"
        drawn = cases.draw(count, seed_of(part, 0))
        return [
            Case(index=i, seed=seed_of(part, i), split=part, value=v, params=v)
            for i, v in enumerate(drawn)
        ]
    listed = [
        Case(index=i, seed=seed_of("listed", i), split=listed_split(i), value=value)
        for i, value in enumerate(cases)
    ]
    chosen = [case for case in listed if split is None or case.split == split]
    if not chosen:
        raise UsageError(
            f"{scenario} has no {split} case: list more values, or use another "
            "--agentgym-split"
        )
    return chosen


def listed_split(index: int) -> Split:
    """Split of a listed value: every fourth one is held out, beginning with the first.

    The position alone decides, so that a value appended later moves no other.
    """
    return "held_out" if index % 4 == 0 else "train"
