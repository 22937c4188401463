"""One deliberate mistake in the turns of a perfect agent."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentgym.policy.build.at_hand import AtHand, facts_in, fill, miscopied
from agentgym.policy.build.turns import Call, MadeTurn, Scene, Turn

MISTAKES = {
    "wrong_tool": 3,
    "wrong_argument": 3,
    "bad_copy": 3,
    "skipped_step": 2,
    "needless_call": 3,
    "malformed_call": 2,
    "wrong_decision": 2,
}
"""How often each kind of mistake is tried first."""

SHRUGS = ("Is there anything else?", "We will see to it.", "Please be patient.")
"""What an agent says that does not do what it should."""


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """What is easily confused in a pack.

    Attributes:
        alike: For a tool those that are taken for it; by default any may be.
        needless: Tools that are called without need.
        arguments: For a parameter templates of what a wrong call may give it, beside
            its choices and what the oracle gives it.
        slips: For a parameter patterns and what a slip makes of them.
    """

    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)
    needless: Sequence[str] = ()
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    slips: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


class Spoiler:
    """Makes mistakes in one scene.

    Args:
        scene: What is played.
        other: The same scenario on another case: what is not known is guessed so.
        clean: How the oracle played it.
        schemas: The properties of each tool's parameters.
        confusions: What is easily confused.
        is_held_out: Says of a value that no dialogue may have it.
        rng: Makes all choices.
    """

    def __init__(
        self,
        scene: Scene,
        other: Scene,
        clean: Sequence[MadeTurn],
        schemas: Mapping[str, Mapping[str, Any]],
        confusions: Confusions,
        is_held_out: Callable[[str], bool],
        rng: random.Random,
    ) -> None:
        self._scene, self._other, self._clean = scene, other, clean
        self._schemas, self._confusions = schemas, confusions
        self._is_held_out, self._rng = is_held_out, rng
        # Only an error that the oracle meets, too, is one that it goes on after.
        self._turns = [replace(each.turn, goes_on=each.failed) for each in clean]
        self._calls = [turn.call for turn in self._turns if turn.call is not None]

    def spoil(self) -> tuple[str, list[Turn]]:
        """A kind of mistake that can be made, and the turns with it."""
        kinds = dict(MISTAKES)
        while kinds:
            kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
            del kinds[kind]
            turns = getattr(self, f"_{kind}")()
            if turns is not None:
                return kind, turns
        raise AssertionError("a wrong decision can always be made")

    # Each kind: the turns, or None where it cannot be made.

    def _wrong_tool(self) -> list[Turn] | None:
        for position in self._positions():
            name = self._calls[position][0]
            tools = self._confusions.alike.get(name, list(self._schemas))
            call = self._call_of([t for t in tools if t != name], position)
            if call is not None:
                return self._with(position, Turn(call))
        return None

    def _wrong_argument(self) -> list[Turn] | None:
        for position in self._positions(reply=True):
            known = AtHand(self._scene, self._clean[:position])

            def wrong(name: str, known: AtHand = known) -> Any:
                value, guess = self._scene.facts[name], self._other.facts.get(name)
                choices = known.instead_of(value)
                if guess is not None and guess != value:
                    choices += [guess] * max(1, len(choices))
                return self._rng.choice(choices) if choices else None

            turn = self._slip(position) or self._changed(position, wrong)
            if turn is not None:
                return self._with(position, turn)
        return None

    def _bad_copy(self) -> list[Turn] | None:
        def wrong(name: str) -> Any:
            value = self._scene.facts[name]
            return miscopied(value, self._rng, self._is_held_out)

        for position in self._positions(reply=True):
            turn = self._changed(position, wrong)
            if turn is not None:
                return self._with(position, turn)
        return None

    def _skipped_step(self) -> list[Turn] | None:
        """Acts without looking: what the step would have shown is guessed."""
        oracle = self._scene.oracle
        steps = [p for p in self._positions() if p not in oracle.tries]
        if len(self._calls) < 2 or not steps:
            return None
        skipped = steps[0]
        turns = self._turns[:skipped]
        for position in range(skipped + 1, len(self._calls)):
            name, template = oracle.calls[position]
            played = [*self._clean[:skipped], *self._clean[skipped + 1 : position]]
            known = AtHand(self._scene, played)
            all_of_it = AtHand(self._scene, self._clean[:position])
            facts = dict(self._scene.facts)
            for fact in [n for value in template.values() for n in facts_in(value)]:
                if all_of_it.has(facts[fact]) and not known.has(facts[fact]):
                    facts[fact] = self._other.facts[fact]
            call = name, {key: fill(text, facts) for key, text in template.items()}
            turns.append(replace(self._turns[position], call=call))
        return [*turns, self._turns[-1]]

    def _needless_call(self) -> list[Turn] | None:
        needed = [name for name, _ in self._calls]
        tools = [t for t in self._confusions.needless if t not in needed]
        places = list(range(len(self._turns)))
        for position in self._rng.sample(places, len(places)):
            call = self._call_of(tools, position)
            if call is not None:
                return [
                    *self._turns[:position],
                    Turn(call),
                    *self._turns[position:],
                ]
        return None

    def _malformed_call(self) -> list[Turn] | None:
        """A tool call that is no JSON: a brace, a quote or a comma is missing."""
        if not self._calls:
            return None
        position = self._positions()[0]
        name, arguments = self._calls[position]
        call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        choices = [call[:-1], call[:-2], call.replace('": ', '" ', 3)]
        choices.append(call.replace('"}', "}"))
        broken = self._rng.choice([each for each in choices if each != call])
        text = f"<tool_call>\n{broken}\n</tool_call>"
        return [*self._turns[:position], Turn(text=text)]

    def _wrong_decision(self) -> list[Turn] | None:
        forbidden = list(self._scene.oracle.forbidden)
        if forbidden and self._rng.random() < 0.7:
            # Most often instead of the last steps, as one who decides wrongly acts.
            position = self._rng.randint(min(1, len(self._calls)), len(self._calls))
            call = self._call_of(forbidden, position)
            if call is not None:
                return [*self._turns[:position], Turn(call), self._turns[-1]]
        errors = [n for n, each in enumerate(self._clean) if each.failed]
        position = self._rng.choice([n + 1 for n in errors] or self._places())
        return [*self._turns[:position], Turn(text=self._rng.choice(SHRUGS))]

    # What they are made of.

    def _places(self) -> list[int]:
        return list(range(len(self._calls))) or [0]

    def _positions(self, *, reply: bool = False) -> list[int]:
        """The calls' positions in any order, with `reply` now and then the end's."""
        positions = list(range(len(self._calls)))
        self._rng.shuffle(positions)
        if reply and (not positions or self._rng.random() < 0.25):
            positions.insert(0, len(self._calls))
        return positions

    def _with(self, position: int, turn: Turn) -> list[Turn]:
        return [*self._turns[:position], turn, *self._turns[position + 1 :]]

    def _changed(self, position: int, wrong: Callable[[str], Any]) -> Turn | None:
        """The turn at a position with one fact wrong."""
        oracle = self._scene.oracle
        if position == len(self._calls):
            reply = self._rng.choice(oracle.replies)
            facts = self._with_one_wrong(facts_in(reply), wrong)
            return None if facts is None else Turn(text=reply.format(**facts))
        name, template = oracle.calls[position]
        names = [n for value in template.values() for n in facts_in(value)]
        facts = self._with_one_wrong(names, wrong)
        if facts is None:
            return None
        return Turn((name, {key: fill(text, facts) for key, text in template.items()}))

    def _with_one_wrong(
        self, names: list[str], wrong: Callable[[str], Any]
    ) -> dict[str, Any] | None:
        facts = self._scene.facts
        for name in self._rng.sample(names, len(names)):
            value = wrong(name) if name in facts else None
            if value is not None and value != facts[name]:
                return facts | {name: value}
        return None

    def _slip(self, position: int) -> Turn | None:
        """The call with another of an argument's choices, or with a slip in a text."""
        if position == len(self._calls):
            return None
        # Half of the mistakes are about what is copied, where something is.
        name, arguments = self._calls[position]
        made = [
            Turn((name, arguments | {key: value}))
            for key, right in arguments.items()
            for value in self._slips(name, key, right)
            if value != right
        ]
        oracle = self._scene.oracle.calls[position][1]
        copied = any(facts_in(text) for text in oracle.values())
        if not made or (copied and self._rng.random() < 0.5):
            return None
        return self._rng.choice(made)

    def _slips(self, tool: str, key: str, right: Any) -> Iterator[Any]:
        yield from self._schemas[tool][key].get("enum", ())
        for pattern, slip in self._confusions.slips.get(key, ()):
            yield re.sub(pattern, slip, right, count=1)

    def _call_of(self, tools: Sequence[str], position: int) -> Call | None:
        """A call of one of the tools, with arguments that can be known by then."""
        known = AtHand(self._scene, self._clean[:position])
        for tool in self._rng.sample(tools, len(tools)):
            arguments = {
                key: self._value_of(key, schema, known)
                for key, schema in self._schemas[tool].items()
            }
            if None not in arguments.values():
                return tool, arguments
        return None

    def _value_of(self, key: str, schema: Mapping[str, Any], known: AtHand) -> Any:
        if "enum" in schema:
            return self._rng.choice(schema["enum"])
        templates = [*self._confusions.arguments.get(key, ())]
        templates += [a[key] for _, a in self._scene.oracle.calls if key in a]
        templates = [template for template in templates if known.knows(template)]
        if not templates:
            return None
        return fill(self._rng.choice(templates), self._scene.facts)
