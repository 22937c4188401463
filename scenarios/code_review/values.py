"""What a case draws: ids, names and numbers, apart for each split, and common words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from agentgym import Case

CONSONANTS, VOWELS = "bdfghjklmnprstvwz", "aeiou"
# No word is the beginning or the end of another one of its list: a search for one name
# of the code must not find another.
QUALITIES = (
    *("net", "full", "late", "next", "last", "base", "free", "fast"),
    *("main", "total", "extra", "daily", "early", "small", "local", "usual"),
)
VERBS = ("needs", "allows", "skips", "gets", "wants", "keeps")
AMOUNTS = (
    *("price", "weight", "cost", "score", "salary", "bonus", "rent", "speed", "tax"),
    *("fee", "load", "width", "height", "volume", "budget", "profit", "credit", "debt"),
)
TIMES = ("wait", "delay", "trip", "shift", "lesson", "walk", "flight", "film", "break")
LIMITS = ("MAX", "MIN", "TOP", "LOW")
ARGUMENTS = (
    *("items", "points", "people", "boxes", "cards", "lamps", "tents", "rings", "cups"),
    *("gain", "loss", "gift", "rest", "part", "size", "half", "age", "cakes"),
)
FOLDERS = (
    *("core", "shop", "farm", "club", "bakery"),
    *("garage", "cinema", "harbor", "theater", "gym"),
)
MODULES = (
    *("prices", "orders", "users", "bills", "routes", "mails", "lists"),
    *("plans", "rules", "teams", "tools", "dates", "maps"),
    *("games", "books", "forms", "loans", "trips", "visits"),
)


def is_held_out(text: str) -> bool:
    """Which ids, names and numbers are kept for measuring: about a quarter of them."""
    return sum(map(ord, text)) % 4 == 0


class Values:
    """Draws values that belong to one split, none of them twice."""

    def __init__(self, case: Case) -> None:
        self.rng: random.Random = case.rng
        self.split = case.split
        self.held_out = case.split == "held_out"
        self.drawn: set[str] = set()

    def draw(self, make: Callable[[random.Random], str]) -> str:
        """Draws until the value is new and one of this split."""
        while True:
            value = make(self.rng)
            if is_held_out(value) is self.held_out and value not in self.drawn:
                self.drawn.add(value)
                return value

    def common_word(self, words: Sequence[str]) -> str:
        """One that is not taken; both splits know all of them."""
        word = self.rng.choice([word for word in words if word not in self.drawn])
        self.drawn.add(word)
        return word

    def joined(self, first: Sequence[str], second: Sequence[str]) -> str:
        """A name of the code, such as `net_price`."""
        return self.draw(lambda rng: f"{rng.choice(first)}_{rng.choice(second)}")

    def constant(self) -> str:
        """The name of a constant, such as `MAX_FEE`."""
        return self.joined(LIMITS, [amount.upper() for amount in AMOUNTS])

    def change_id(self) -> str:
        """The id of a change, such as `R482`."""
        return self.draw(lambda rng: f"R{rng.randrange(100, 1000)}")

    def key(self) -> str:
        """A secret, such as `sk48213`."""
        return self.draw(lambda rng: f"sk{rng.randrange(10000, 100000)}")

    def number(self) -> int:
        """Two digits."""
        return int(self.draw(lambda rng: str(rng.randrange(11, 100))))

    def person(self) -> str:
        """A made-up name; there are too many to learn by heart."""
        size = self.rng.choice((2, 2, 3))
        letters = (CONSONANTS, VOWELS) * size + ("nrst",)
        return self.draw(lambda rng: "".join(map(rng.choice, letters)).title())
