"""Dialogues to imitate, made from a pack's oracles."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from agentgym.policy.build.framework_texts import FRAMEWORKS
from agentgym.policy.build.mistakes import Confusions, Spoiler
from agentgym.policy.build.turns import Scene, Turn, messages, perfect, play
from agentgym.scenarios.cases import Case, Split

APOLOGIES = (
    "I am sorry, that did not work.",
    "Sorry, I could not do that.",
    "Something went wrong, I am sorry.",
)
_HELD_OUT_WORDS = 0.25
_RENAMED = 0.4
"""Share of the dialogues in which things have made-up names."""


@dataclass(frozen=True, kw_only=True)
class SpokenPack:
    """What the dialogues of a scenario pack are made of.

    The language of both splits is spoken, as a real base model has read it, but none of
    the ids, names and values that are held out.

    Attributes:
        scenarios: The names of those that have an oracle.
        situation: Sets up a scenario by its name, on a case, in the words of another.
        instructions: The agent's.
        is_held_out: Which ids, names and values are kept for measuring.
        role: What CrewAI's agents are.
        goal: What CrewAI's agents want.
        confusions: Which mistakes are near.
        names: Words that things are called by, as "lunch" is a meeting. Whoever has
            heard a dozen guesses among them; in some dialogues they are made up, so
            that they have to be read.
    """

    scenarios: Sequence[str]
    situation: Callable[[str, Case, Case], Any]
    instructions: str
    is_held_out: Callable[[str], bool]
    role: str
    goal: str
    confusions: Confusions = field(default_factory=Confusions)
    names: Sequence[str] = ()

    @cached_property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools as LangChain describes them to a model."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        case = Case(index=0, seed=0, split="train")
        world = self.situation(self.scenarios[0], case, case).world
        return [convert_to_openai_tool(tool) for tool in world.tools]

    def tool_schemas(self) -> list[dict[str, Any]]:
        """The same, as a function that packs give a name."""
        return self.schemas

    def dialogues(
        self,
        seed: int,
        n: int,
        *,
        mistakes: float = 0.0,
        shares: Mapping[str, float] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yields `n` dialogues.

        Args:
            seed: The same seed gives the same dialogues.
            n: How many.
            mistakes: Share of dialogues with one deliberate mistake.
            shares: How often a scenario is drawn; 1 for those that are left out.

        Yields:
            `messages` (OpenAI's shape), `tools`, `mistake` (a kind, or None),
            `scenario`, its `case`, `words` (the case whose split's phrases are spoken),
            `framework` (whose texts these are) and `renamed` (whether things have
            made-up names in it).
        """
        rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        drawn = [(shares or {}).get(name, 1.0) for name in self.scenarios]
        written = [each.share for each in FRAMEWORKS]
        for index in range(n):
            name = rng.choices(self.scenarios, drawn)[0]
            # Only the language may come from the held-out side, never the values.
            case = Case(index=index, seed=rng.getrandbits(32), split="train")
            split: Split = "held_out" if rng.random() < _HELD_OUT_WORDS else "train"
            words = replace(case, split=split)
            framework = rng.choices(FRAMEWORKS, written)[0]
            scene: Scene = self.situation(name, case, words)
            mistake, turns = None, perfect(scene, rng)
            if rng.random() < mistakes:
                mistake, turns = self._spoil(name, scene, turns, rng)
                scene = self.situation(name, case, words)
            system = framework.system.format(
                instructions=self.instructions, role=self.role, goal=self.goal
            )
            played = play(scene, turns, rng.choice(APOLOGIES))
            said = messages(system, scene.message, played, framework)
            renamed = bool(self.names) and rng.random() < _RENAMED
            yield {
                "messages": self._rename(said, rng) if renamed else said,
                "tools": self.schemas,
                "mistake": mistake,
                "scenario": name,
                "case": case,
                "words": words,
                "framework": framework.name,
                "renamed": renamed,
            }

    def _spoil(
        self, name: str, scene: Scene, turns: list[Turn], rng: random.Random
    ) -> tuple[str, list[Turn]]:
        case = Case(index=0, seed=rng.getrandbits(32), split="train")
        functions = [schema["function"] for schema in self.schemas]
        spoiler = Spoiler(
            scene,
            self.situation(name, case, case),
            play(scene, turns, ""),
            {f["name"]: f["parameters"].get("properties", {}) for f in functions},
            self.confusions,
            self.is_held_out,
            rng,
        )
        return spoiler.spoil()

    def _rename(
        self, messages: list[dict[str, Any]], rng: random.Random
    ) -> list[dict[str, Any]]:
        """The dialogue, its system turn left out, with made-up names of things."""
        found = re.compile(rf"\b(?:{'|'.join(self.names)})\b")
        new: dict[str, str] = {}

        def rename(match: re.Match[str]) -> str:
            return new.setdefault(match[0], self._made_up(rng))

        text = json.dumps(messages[1:], ensure_ascii=False)
        renamed: list[dict[str, Any]] = json.loads(found.sub(rename, text))
        return [messages[0], *renamed]

    def _made_up(self, rng: random.Random) -> str:
        while True:
            letters = ("bdfghjklmnprstvwz", "aeiou") * rng.choice((2, 3)) + ("nrst",)
            word = "".join(map(rng.choice, letters)).title()
            if not self.is_held_out(word):
                return word
