"""Cases: the concrete instances of a scenario, made from one seed and split in two."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from agentgym.distribution import install_command
from agentgym.errors import UsageError
from agentgym.recording.plain import Plain, Show, name_only, printed
from agentgym.scenarios.dataset import Split as Split
from agentgym.scenarios.dataset import dataset

MAX_SHOWN = 500
"""Characters of a case's value that a run file has."""

MOST_DRAWN = 256
"""Examples that are drawn of each split of `given(...)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One concrete instance of a scenario: a seed, a split and perhaps a value.

    Attributes:
        index: Position among the cases of its scenario and split, from 0; of a
            `dataset` a number that its row makes.
        seed: 32-bit seed, the same for the same `--agentgym-seed`.
        split: Cases to learn from, or cases kept for measuring.
        value: The listed value, or the drawn arguments of `given`.
        params: Arguments which the scenario function may ask for by name.
        repeat: How often it was played before in this run, from 0: of listed or
            counted cases that are played several times.
    """

    index: int
    seed: int
    split: Split
    value: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0

    @property
    def rng(self) -> random.Random:
        """A fresh generator that starts from the seed at each access."""
        return random.Random(self.seed)  # noqa: S311 - reproducible, not secret

    @property
    def id(self) -> str:
        """Short name, such as `held_out-3`."""
        return f"{self.split}-{self.index}"

    def to_json(self, show: Show = printed) -> dict[str, Any]:
        """The JSON form that a run file stores.

        Args:
            show: Makes text of a value that JSON does not know; see `Plain`.
        """
        value = self.value
        text = None if value is None else _shown(value, show)[:MAX_SHOWN]
        return {**self.place(), "value": text}

    def place(self) -> dict[str, Any]:
        """The JSON form without what the case is about."""
        return {
            "index": self.index,
            "seed": self.seed,
            "split": self.split,
            "value": None,
        }


def _shown(value: Any, show: Show) -> str:
    """The value's `repr`, or that of its plain form if its own is too much."""
    plain = Plain(10 * MAX_SHOWN, show)
    form = plain.of(value)
    return repr(form) if plain.used_up or show is name_only else printed(value)


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
        """Draws up to `count` examples, the same ones for the same seed.

        Args:
            count: The most examples.
            seed: Of Hypothesis's generator.
        """
        try:
            import hypothesis
            from hypothesis import strategies as st
        except ImportError:
            raise UsageError(
                f"cases=given(...) needs Hypothesis: {install_command('hypothesis')}"
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
            values, `dataset(...)` or `given(...)`.
        count: Episodes to be played; no more cases than this are made.
        seed: The seed of the run.
        scenario: Name of the scenario; other scenarios get other seeds.
        split: Cases of this split only; None means held-out cases where cases are
            generated, and all of them where values are listed.

    Returns:
        At least one case; `Rounds` says which episode plays which.

    Raises:
        UsageError: No case is left in this split.
    """

    def seed_of(part: str, index: int) -> int:
        return _seed(seed, scenario, part, index)

    if cases is None or isinstance(cases, int):
        part: Split = split or "held_out"
        number = count if cases is None else min(cases, count)
        return [Case(index=i, seed=seed_of(part, i), split=part) for i in range(number)]
    if isinstance(cases, given):
        part = split or "held_out"
        # Hypothesis draws other examples when it is asked for another number of them;
        # a case must be the same in each measurement and in a training.
        source = CaseSource(cases, seed=seed, scenario=scenario)
        number = min(count, source.drawn(part))
        return [source.at(part, i) for i in range(number)]
    chosen = [
        case
        for case in _listed(cases, seed, scenario)
        if split is None or case.split == split
    ]
    if not chosen:
        raise UsageError(
            f"{scenario} has no {split} case: list more values, or use another "
            "--agentgym-split"
        )
    return chosen


class Rounds:
    """Which case an episode plays: all of them once, then all of them again.

    Whoever lists cases has a reason for their order: the easy ones come first, or those
    of one kind together. Some of them are therefore no sample of the list. So each
    round has an order of its own, drawn by the seed: the first n episodes are a sample
    without replacement, whose share of passed ones strays no further from the list's
    than with replacement (W. Hoeffding, Probability inequalities for sums of bounded
    random variables, Journal of the American Statistical Association 58 (1963) 13-30,
    section 6). The others keep their order if a case is added at the end.

    Args:
        number: Cases that there are.
        seed: The seed of the run.
        scenario: Name of the scenario; other scenarios get other orders.
        shuffled: False for generated cases, which chance has put in their order.
    """

    def __init__(
        self, number: int, *, seed: int, scenario: str, shuffled: bool = True
    ) -> None:
        self.shuffled = shuffled
        self._number = number
        self._key = seed, scenario
        self._orders: dict[int, list[int]] = {}

    def place(self, episode: int) -> int:
        """Position of the case that the episode of this number plays, from 0."""
        turn, place = divmod(episode, self._number)
        if not self.shuffled:
            return place
        if turn not in self._orders:
            self._orders = {turn: self._order(turn)}
        return self._orders[turn][place]

    def _order(self, turn: int) -> list[int]:
        seed, scenario = self._key
        drawn = [_seed(seed, scenario, f"round {turn}", i) for i in range(self._number)]
        return sorted(range(self._number), key=drawn.__getitem__)


def argument_names(cases: Cases) -> Collection[str]:
    """Names of the arguments that the cases have for their scenario.

    Args:
        cases: See `make_cases`.
    """
    if isinstance(cases, given):
        return cases.strategies.keys()
    return cases.fields if isinstance(cases, dataset) else ()


def is_listed(cases: Cases) -> TypeGuard[Sequence[Any]]:
    """Whether somebody has put the cases in an order."""
    return not (cases is None or isinstance(cases, int | given))


class CaseSource:
    """The cases of a scenario one by one, as training asks for them.

    Args:
        cases: See `make_cases`.
        seed: The seed of the run.
        scenario: Name of the scenario.
        only: The one split that the scenario keeps its cases in, if it does.
    """

    def __init__(
        self, cases: Cases, *, seed: int, scenario: str, only: Split | None = None
    ) -> None:
        self._cases = cases
        self._seed = seed
        self._scenario = scenario
        self._only = only
        self._values: dict[Split, list[dict[str, Any]]] = {}
        self._all: list[Case] | None = None

    def count(self, split: Split) -> int | None:
        """How many cases there are; None for as many as are asked for."""
        if self._only not in (None, split):
            return 0
        if self._cases is None or isinstance(self._cases, given):
            return None
        if isinstance(self._cases, int):
            return self._cases
        return len(self._of(split))

    def drawn(self, split: Split) -> int:
        """How many different examples `given(...)` draws of this split."""
        cases = self._cases
        return len(self._drawn(cases, split)) if isinstance(cases, given) else 0

    def named(self, split: Split, index: int) -> Case:
        """The case whose id is `split-index`.

        Args:
            split: The first part of its id.
            index: The second part of its id.

        Raises:
            UsageError: The scenario has none.
        """
        if is_listed(self._cases):
            found = [case for case in self._of(split) if case.index == index]
        else:
            found = [self.at(split, index)]
        if not found or found[0].index != index:
            raise UsageError(
                f"{self._scenario} has no case {split}-{index}, only {self._ids(split)}"
            )
        return found[0]

    def _ids(self, split: Split) -> str:
        """The cases that there are: those of the split, or all that are listed."""
        cases = self._cases
        if is_listed(cases):
            ids = [case.id for case in self._listed()]
        else:
            found = cases if isinstance(cases, int) else self.drawn(split)
            ids = [f"{split}-{i}" for i in range(found)]
        return ", ".join(ids if len(ids) < 9 else [*ids[:7], "...", ids[-1]])

    def at(self, split: Split, index: int) -> Case:
        """The case at this position of the split; the positions go round.

        Args:
            split: Where the case is from.
            index: Position within the split, from 0.

        Raises:
            UsageError: The split has no cases.
        """
        cases = self._cases
        if self.count(split) == 0:
            raise UsageError(f"{self._scenario} has no {split} case")
        if cases is None or isinstance(cases, int):
            index = index if cases is None else index % cases
            seed = _seed(self._seed, self._scenario, split, index)
            return Case(index=index, seed=seed, split=split)
        if isinstance(cases, given):
            values = self._drawn(cases, split)
            index %= len(values)
            seed = _seed(self._seed, self._scenario, split, index)
            value = values[index]
            return Case(index=index, seed=seed, split=split, value=value, params=value)
        listed = self._of(split)
        return listed[index % len(listed)]

    def position(self, case: Case) -> int:
        """Where `at` finds a case of this source.

        Args:
            case: Has been made by the same seed.

        Raises:
            ValueError: It is none of them.
        """
        if not is_listed(self._cases):
            return case.index
        return [each.index for each in self._of(case.split)].index(case.index)

    def _of(self, split: Split) -> list[Case]:
        """The listed cases of a split."""
        return [case for case in self._listed() if case.split == split]

    def _listed(self) -> list[Case]:
        if self._all is None:
            assert is_listed(self._cases)
            self._all = _listed(self._cases, self._seed, self._scenario)
        return self._all

    def _drawn(self, cases: given, split: Split) -> list[dict[str, Any]]:
        """The examples of a split, drawn once; none of them is in the other split."""
        if split not in self._values:
            seed = _seed(self._seed, self._scenario, split, 0)
            drawn = cases.draw(MOST_DRAWN, seed)
            # Hypothesis begins with the simplest ones, which may be the easiest.
            random.Random(seed).shuffle(drawn)  # noqa: S311 - reproducible, no secret
            if split == "train":
                held_out = {printed(value) for value in self._drawn(cases, "held_out")}
                drawn = [value for value in drawn if printed(value) not in held_out]
            if not drawn:
                raise UsageError(
                    f"{self._scenario}: given(...) draws so few different cases that "
                    "all of them are held out: list the cases instead"
                )
            self._values[split] = drawn
        return self._values[split]


def _listed(cases: Sequence[Any], seed: int, scenario: str) -> list[Case]:
    if isinstance(cases, dataset):
        return [
            Case(
                index=row.number,
                seed=_seed(seed, scenario, "dataset", row.number),
                split=row.split,
                value=row.value,
                params={name: row.value[name] for name in cases.fields},
            )
            for row in cases.rows
        ]
    return [
        Case(
            index=i,
            seed=_seed(seed, scenario, "listed", i),
            split=listed_split(i),
            value=value,
        )
        for i, value in enumerate(cases)
    ]


def draw_name(seed: int, *of: str | int) -> str:
    """By what an episode's replies are drawn: 32 hexadecimal digits.

    Args:
        seed: The seed of the run.
        of: What tells the episode from all others of the run.
    """
    key = "\0".join(map(str, (seed, *of))).encode()
    return hashlib.blake2b(key, digest_size=16).hexdigest()


def _seed(seed: int, scenario: str, part: str, index: int) -> int:
    key = f"{seed}/{scenario}/{part}/{index}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")


def listed_split(index: int) -> Split:
    """Split of a listed value: every fourth one is held out, beginning with the first.

    The position alone decides, so that a value appended later moves no other.
    """
    return "held_out" if index % 4 == 0 else "train"
