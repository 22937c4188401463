"""What an agent can know by some turn, and what it gets wrong of it."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agentgym.policy.build.turns import MadeTurn, Scene

_PLACEHOLDER = re.compile(r"{(\w+)}")
_TRIES = 50


def fill(template: Any, facts: Mapping[str, Any]) -> Any:
    """What a placeholder stands for, or a text with placeholders says.

    Args:
        template: Of an oracle; a number stands for itself.
        facts: What placeholders stand for.
    """
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    # A number stays one.
    return facts[whole[1]] if whole else template.format(**facts)


def facts_in(template: Any) -> list[str]:
    """The names of a template's placeholders."""
    return _PLACEHOLDER.findall(template) if isinstance(template, str) else []


class AtHand:
    """What an agent has read: the message, and what its calls gave.

    Args:
        scene: Has the message and the facts.
        played: The turns so far.
    """

    def __init__(self, scene: Scene, played: Sequence[MadeTurn]) -> None:
        self._facts = scene.facts
        given = [each.given for each in played]
        told = [
            value
            if isinstance(value, str)
            else str(value)
            if isinstance(value, Exception)
            else json.dumps(value, ensure_ascii=False)
            for value in given
        ]
        self._text = "\n".join([scene.message, *told])
        self._values = [leaf for value in given for leaf in _leaves(value)]

    def knows(self, template: Any) -> bool:
        """Whether all facts of a template can be known."""
        names = facts_in(template)
        # A fact that is empty is none of this case.
        facts = [self._facts.get(name) for name in names]
        return all(fact and self.has(fact) for fact in facts)

    def has(self, value: Any) -> bool:
        """Whether all words of a value were read."""
        return all(word in self._text for word in str(value).split())

    def instead_of(self, value: Any) -> list[Any]:
        """Other values that were read, of the same type and kind."""
        found = [*self._values, *self._facts.values()]
        return [
            other
            for other in found
            if type(other) is type(value)
            and other != value
            and self.has(other)
            and _kind(other) == _kind(value)
        ]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str | int | float):
        yield value


def _kind(value: Any) -> tuple[bool, bool]:
    """Ids are not taken for words, nor sentences for names."""
    text = str(value)
    return any(map(str.isdigit, text)), " " in text


def miscopied(
    value: Any, rng: random.Random, is_held_out: Callable[[str], bool]
) -> Any:
    """A value with a character lost, doubled or exchanged; None if that cannot be.

    Args:
        value: A text or number.
        rng: Chooses the character.
        is_held_out: Says of a value that no dialogue may have it.
    """
    text = str(value)
    places = [i for i, c in enumerate(text) if c.isdigit()] or [
        i for i, c in enumerate(text) if c.isalpha() and i
    ]
    for _ in range(_TRIES if places else 0):
        place = rng.choice(places)
        digits = text[place].isdigit()
        other = rng.choice(string.digits if digits else string.ascii_lowercase)
        copied = rng.choice(["", text[place] * 2, other, other])
        changed = text[:place] + copied + text[place + 1 :]
        if changed == text or any(map(is_held_out, _new_words(text, changed))):
            continue
        try:
            made = type(value)(changed)
        except ValueError:  # no digit is left
            continue
        if not is_held_out(str(made)):
            return made
    return None


def _new_words(text: str, changed: str) -> set[str]:
    """All that might be a value of its own in a changed text, and was not before."""
    before, after = (
        {each, *re.split(r"[\s'\"]", each), *re.findall(r"[\w.]*\w", each)}
        | {word.title() for word in re.findall(r"[A-Za-z]+", each)}
        for each in (text, changed)
    )
    return after - before
