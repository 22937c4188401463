"""The turns of an assistant, and what they lead to in a pack's world."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentgym.policy.build.framework_texts import FrameworkTexts

Call = tuple[str, dict[str, Any]]


class Scene(Protocol):
    """A pack's scenario on one case.

    Attributes:
        oracle: Has `calls` and `replies` in which `{...}` stands for a fact, `tries`,
            the positions of calls that may be left out, and `forbidden` tools.
        world: Has the `tools`.
        facts: What the placeholders of the oracle stand for.
        message: What the agent is asked.
        calls: Those of the oracle, with the facts.
    """

    oracle: Any
    world: Any
    facts: dict[str, Any]
    message: str
    calls: list[Call]

    def reply(self, rng: random.Random) -> str:
        """How a perfect agent ends."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant turn: a tool call, or the text that ends the conversation.

    Attributes:
        goes_on: Whether an error leads to the next turn: an oracle knows what it means.
    """

    call: Call | None = None
    text: str = ""
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class MadeTurn:
    """A turn that was made.

    Attributes:
        given: What the tool gave or raised.
    """

    turn: Turn
    given: Any = None

    @property
    def failed(self) -> bool:
        """Whether the tool raised."""
        return isinstance(self.given, Exception)


def perfect(scene: Scene, rng: random.Random) -> list[Turn]:
    """The oracle's turns.

    Args:
        scene: What is played.
        rng: Chooses the words of the end.
    """
    calls = [Turn(call, goes_on=True) for call in scene.calls]
    return [*calls, Turn(text=scene.reply(rng))]


def play(scene: Scene, turns: Sequence[Turn], apology: str) -> list[MadeTurn]:
    """Makes the turns in the scene's world, up to a text or an unexpected error.

    Args:
        scene: Has the world; it must be a fresh one.
        turns: What the assistant does.
        apology: What it says to an error after which it does not go on.
    """
    tools = {tool.__name__: tool for tool in scene.world.tools}
    played: list[MadeTurn] = []
    for turn in turns:
        if turn.call is None:
            return [*played, MadeTurn(turn)]
        name, arguments = turn.call
        try:
            given = tools[name](**arguments)
        except Exception as error:  # noqa: BLE001 - any tool error is for the model
            given = error
        played.append(MadeTurn(turn, given))
        if played[-1].failed and not turn.goes_on:
            break
    return [*played, MadeTurn(Turn(text=apology))]


def messages(
    system: str, message: str, played: Sequence[MadeTurn], framework: FrameworkTexts
) -> list[dict[str, Any]]:
    """A conversation in OpenAI's form, as a framework sends it.

    Args:
        system: The system prompt.
        message: What the user asked.
        played: The turns that were made.
        framework: Whose texts these are.
    """
    told: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": framework.user.format(message)},
    ]
    for number, each in enumerate(played):
        if each.turn.call is None:
            told.append({"role": "assistant", "content": each.turn.text})
            continue
        name, arguments = each.turn.call
        function = {
            "name": name,
            "arguments": json.dumps(arguments, ensure_ascii=False),
        }
        call = {"id": f"call_{number}", "type": "function", "function": function}
        told.append({"role": "assistant", "content": "", "tool_calls": [call]})
        content = framework.told(each.given)
        told.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return told
