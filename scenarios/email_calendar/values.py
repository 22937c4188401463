"""What is drawn from the case: ids, names, amounts and times of its split."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from agentgym import Case

T = TypeVar("T")

YEAR = 2027
DAY_BEGINS, DAY_ENDS = 9 * 60, 17 * 60
"""The working day, in minutes after midnight."""
STEP = 5
CONSONANTS, VOWELS = "bdfghjklmnprstvwz", "aeiou"
SUBJECTS = (
    *("rent", "lamp", "printer", "tent", "piano", "ticket", "hotel", "course"),
    *("bike", "sofa", "camera", "garden"),
)
"""What messages are about."""
TITLES = (
    *("dentist", "lunch", "review", "interview", "yoga", "briefing", "workshop"),
    *("concert", "training", "demo", "haircut", "backup"),
)
"""What events are called."""


class Slot(NamedTuple):
    """A part of a day: minutes after midnight, and how many from there."""

    begins: int
    minutes: int

    @property
    def ends(self) -> int:
        """Minutes after midnight."""
        return self.begins + self.minutes


def is_held_out(text: str) -> bool:
    """Which ids, names and values are kept for measuring: about a quarter of them.

    By a digest: of a time and the same time an hour later, each combination occurs.
    """
    return hashlib.sha256(text.encode()).digest()[0] % 4 == 0


def at(day: date, minute: int) -> datetime:
    """A moment of a day, by its minutes after midnight."""
    return datetime.combine(day, time()) + timedelta(minutes=minute)


class Values:
    """Draws what belongs to one split, and no id, name, day, word or amount twice."""

    def __init__(self, case: Case) -> None:
        self.rng: random.Random = case.rng
        self.held_out = case.split == "held_out"
        self._used: set[object] = set()

    def fits(self, *texts: str) -> bool:
        """Whether all of them belong to the split."""
        return all(is_held_out(text) is self.held_out for text in texts)

    def draw(self, make: Callable[[random.Random], T]) -> T:
        """Draws until the value is one of this split that is new."""
        while not self.fits(str(value := make(self.rng))) or value in self._used:
            pass
        self._used.add(value)
        return value

    def word(self, words: tuple[str, ...]) -> str:
        """One that is not taken; both splits know all of them."""
        word = self.rng.choice([word for word in words if word not in self._used])
        self._used.add(word)
        return word

    def number(self, prefix: str) -> str:
        """An id, such as `M482`."""
        return self.draw(lambda rng: f"{prefix}{rng.randrange(100, 1000)}")

    def amount(self) -> str:
        """A price in two decimals."""
        return self.draw(lambda rng: f"{rng.randrange(5, 400)}.{rng.randrange(10, 99)}")

    def name(self) -> str:
        """A made-up name; there are too many to learn by heart."""
        size = self.rng.choice((2, 2, 3))
        letters = (CONSONANTS, VOWELS) * size + ("nrst",)
        return self.draw(lambda rng: "".join(map(rng.choice, letters)).title())

    def day(self) -> date:
        """A working day."""
        first = date(YEAR, 1, 1)
        while True:
            day = self.draw(lambda rng: first + timedelta(days=rng.randrange(365)))
            if day.weekday() < 5:
                return day

    def minutes(self, low: int = 10, high: int = 120) -> int:
        """How long something takes."""
        while True:
            minutes = self.rng.randrange(low, high + 1, STEP)
            if self.fits(str(minutes)):
                return minutes

    def slots(
        self, low: int = DAY_BEGINS, high: int = DAY_ENDS, *, over: int | None = None
    ) -> Sequence[Slot]:
        """The parts of a day whose beginnings and ends belong to the split.

        Args:
            low: Minutes after midnight; they begin then or later.
            high: They end then or earlier.
            over: They take this minute.
        """
        slots = _slots(self.held_out, low, high)
        if over is None:
            return slots
        return [slot for slot in slots if slot.begins <= over < slot.ends]

    def minutes_between(self, low: int, high: int, step: int = STEP) -> list[int]:
        """The times of a day, in minutes after midnight, that belong to the split.

        Args:
            low: From here.
            high: Up to here.
            step: Of so many, one is looked at.
        """
        return [m for m in range(low, high + 1, step) if self.fits(clock_of(m))]


@cache
def _slots(held_out: bool, low: int, high: int) -> Sequence[Slot]:
    times = [
        m for m in range(low, high + 1, STEP) if is_held_out(clock_of(m)) is held_out
    ]
    return tuple(
        Slot(begins, ends - begins)
        for begins in times
        for ends in times
        if 15 <= ends - begins <= 120
    )


def clock_of(minute: int) -> str:
    """The time so many minutes after midnight, such as `09:30`."""
    return f"{minute // 60:02}:{minute % 60:02}"
