"""Names, numbers and words, each of which belongs to one split."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from agentgym import Case

CONSONANTS, VOWELS = "bdfghjklmnprstvwz", "aeiou"


def is_held_out(text: str) -> bool:
    """Which names, numbers and words are kept for measuring: about a quarter."""
    return sum(map(ord, text)) % 4 == 0


@cache
def _numbers(held_out: bool) -> tuple[int, ...]:
    """All numbers of a split up to 2000: to find them costs more than to choose."""
    return tuple(n for n in range(2000) if is_held_out(str(n)) is held_out)


class Values:
    """Draws values that belong to the case's split, none of them twice."""

    def __init__(self, case: Case) -> None:
        self.rng: random.Random = case.rng
        self.held_out = case.split == "held_out"
        self._drawn: set[str] = set()

    def fits(self, value: object) -> bool:
        """Whether a value is one of this split."""
        return is_held_out(str(value)) is self.held_out

    def draw(self, make: Callable[[random.Random], str]) -> str:
        """Draws until the value is new and one of this split."""
        while not self.fits(value := make(self.rng)) or value in self._drawn:
            pass
        self._drawn.add(value)
        return value

    def number(self, prefix: str, digits: int) -> str:
        """An id, such as `C417`."""
        low = 10 ** (digits - 1)
        return self.draw(lambda rng: f"{prefix}{rng.randrange(low, 10 * low)}")

    def name(self) -> str:
        """A made-up name; there are too many to learn by heart."""
        size = self.rng.choice((2, 2, 3))
        letters = (CONSONANTS, VOWELS) * size + ("nrst",)
        return self.draw(lambda rng: "".join(map(rng.choice, letters)).title())

    def report(self) -> str:
        """The name of a report, such as `rimon_84`."""
        name = self.name().lower()
        return self.draw(lambda rng: f"{name}_{rng.randrange(10, 100)}")

    def word(self, words: Sequence[str]) -> str:
        """One that is not taken; both splits know all of them."""
        word = self.rng.choice([word for word in words if word not in self._drawn])
        self._drawn.add(word)
        return word

    def months(self, n: int) -> list[str]:
        """So many months in their order, such as `2024-05`."""
        return sorted(
            self.draw(lambda rng: f"{rng.randint(2015, 2025)}-{rng.randint(1, 12):02}")
            for _ in range(n)
        )

    def amount(self, low: int = 20, high: int = 900) -> int:
        """What an order cost."""
        return int(self.draw(lambda rng: str(rng.randrange(low, high))))

    def amounts(self, n: int, low: int = 20, high: int = 900) -> list[int]:
        """So many numbers whose sum is of this split, too."""
        free = [
            number
            for number in _numbers(self.held_out)
            if low <= number < high and str(number) not in self._drawn
        ]
        while True:
            drawn = self.rng.sample(free, n)
            total = str(sum(drawn))
            if self.fits(total) and (n == 1 or total not in self._drawn):
                self._drawn.update(map(str, drawn), [total])
                return drawn

    def limits(self) -> tuple[int, int]:
        """What big orders cost more than, and small ones less than.

        An amount on each side of a limit is of this split, too: a nine is followed by a
        number of the same kind.
        """
        return self._limit("45"), self._limit("23") + 1

    def count(self, but: int = 0) -> int:
        """How many there are of something, and not that many."""
        return self.rng.choice([n for n in range(3, 18) if self.fits(n) and n != but])

    def _limit(self, hundreds: str) -> int:
        """A limit that ends with nine; its neighbour is drawn with it."""
        digits = (hundreds, "012345678", "9")
        limit = int(self.draw(lambda rng: "".join(map(rng.choice, digits))))
        self._drawn.add(str(limit + 1))
        return limit
