"""Dialogues to imitate: the oracle's, some of them with one deliberate mistake.

The embedded policy learns the language of both splits here, as a real base model has
read it, but none of the ids, names and values that are held out.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentgym import Case

from . import language, oracles
from .helpdesk import ARTICLES, Helpdesk, HelpdeskError, Values, is_held_out
from .oracles import ORACLES, Call, Situation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentgym.scenarios.cases import Split

MISTAKES = {
    "wrong_tool": 3,
    "wrong_argument": 3,
    "bad_copy": 3,
    "skipped_lookup": 2,
    "needless_call": 3,
    "malformed_call": 2,
    "wrong_decision": 2,
}
"""How often each kind of mistake is chosen, where it can be made at all."""

APOLOGIES = (
    "I am sorry, that did not work.",
    "Sorry, I could not do that.",
    "Something went wrong, I am sorry.",
)
SHRUGS = ("Is there anything else?", "We will see to it.", "Please be patient.")


@dataclass(frozen=True)
class Turn:
    """One assistant turn: tool calls, or text."""

    call: Call | None = None
    text: str = ""


def tool_schemas() -> list[dict[str, Any]]:
    """The tools as LangChain describes them to the model."""
    from langchain_core.utils.function_calling import convert_to_openai_tool

    desk = Helpdesk.of(Case(index=0, seed=0, split="train"))
    return [convert_to_openai_tool(tool) for tool in desk.tools]


def dialogues(seed: int, n: int, *, mistakes: float = 0.0) -> Iterator[dict[str, Any]]:
    """Yields `n` dialogues.

    Args:
        seed: The same seed gives the same dialogues.
        n: How many.
        mistakes: Share of dialogues with one deliberate mistake.

    Yields:
        `messages` (OpenAI's shape), `tools`, `mistake` (a kind, or None), `scenario`.
    """
    rng = random.Random(seed)
    tools = tool_schemas()
    for index in range(n):
        name = rng.choice(list(ORACLES))
        # Only the language may come from the held-out side, never the values.
        case = Case(index=index, seed=rng.getrandbits(32), split="train")
        scene = _scene(name, case, rng)
        turns = [Turn(call) for call in scene.calls]
        turns.append(Turn(text=scene.reply(rng)))
        mistake = None
        if rng.random() < mistakes:
            mistake, turns = _spoil(scene, turns, rng)
        messages = _play(scene.desk, scene.message, turns, rng)
        yield {
            "messages": messages,
            "tools": tools,
            "mistake": mistake,
            "scenario": name,
        }


def _scene(name: str, case: Case, rng: random.Random) -> Situation:
    split: Split = "held_out" if rng.random() < 0.25 else "train"
    return oracles.situation(name, case, replace(case, split=split))


def _play(
    desk: Helpdesk, message: str, turns: list[Turn], rng: random.Random
) -> list[dict[str, Any]]:
    """What the turns lead to in the world; ends early when a call goes wrong."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": language.INSTRUCTIONS},
        {"role": "user", "content": message},
    ]
    tools = {tool.__name__: tool for tool in desk.tools}
    for number, turn in enumerate(turns):
        if turn.call is None:
            messages.append({"role": "assistant", "content": turn.text})
            break
        name, arguments = turn.call
        call_id = f"call_{number}"
        function = {"name": name, "arguments": json.dumps(arguments)}
        messages.append(
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": call_id, "type": "function", "function": function}
                ],
            }
        )
        try:
            result = json.dumps(tools[name](**arguments), ensure_ascii=False)
        except HelpdeskError as exc:
            result = f"error: {exc}"
        messages.append({"role": "tool", "tool_call_id": call_id, "content": result})
        if result.startswith("error"):
            messages.append({"role": "assistant", "content": rng.choice(APOLOGIES)})
            break
    return messages


def _spoil(
    scene: Situation, turns: list[Turn], rng: random.Random
) -> tuple[str, list[Turn]]:
    """Puts one mistake of a possible kind into the turns."""
    calls = [turn.call for turn in turns if turn.call is not None]
    kinds = ["needless_call", "wrong_decision"]
    if calls:
        kinds += ["wrong_tool", "wrong_argument", "bad_copy", "malformed_call"]
    if len(calls) > 1:
        kinds.append("skipped_lookup")
    kind = rng.choices(kinds, [MISTAKES[kind] for kind in kinds])[0]
    position = rng.randrange(len(calls)) if calls else 0
    before, after = turns[:position], turns[position + 1 :]
    if kind == "needless_call":
        known = position > 0 or scene.order.id in scene.message
        extra = Turn(_needless(scene, known, rng))
        return kind, [*before, extra, *turns[position:]]
    if kind == "wrong_decision":
        if scene.oracle.forbidden and rng.random() < 0.7:
            return kind, [*turns[:-1], Turn(_forbidden(scene)), turns[-1]]
        return kind, [*before, Turn(text=rng.choice(SHRUGS))]
    name, arguments = calls[position]
    if kind == "skipped_lookup":
        return kind, _skip(turns, rng)
    if kind == "malformed_call":
        return kind, [*before, Turn(text=_malformed(name, arguments, rng))]
    if kind == "wrong_tool":
        return kind, [*before, Turn(_other_tool(scene, name, rng)), *after]
    change = _wrong if kind == "wrong_argument" else _miscopied
    return kind, [*before, Turn((name, change(scene, arguments, rng))), *after]


def _needless(scene: Situation, known: bool, rng: random.Random) -> Call:
    """A call that nobody needs, on the order if the agent can know it by now."""
    order = {"order_id": scene.order.id}
    choices: list[Call]
    if known:
        choices = [
            ("send_survey", order),
            ("open_ticket", order | {"priority": "low"}),
            ("charge_card", order | {"amount": scene.order.total}),
        ]
    else:
        choices = [
            ("search_articles", {"topic": rng.choice(list(ARTICLES))}),
            ("hand_over", {"reason": rng.choice(("fraud", "press"))}),
        ]
    return rng.choice(choices)


def _forbidden(scene: Situation) -> Call:
    arguments: dict[str, Any] = {"order_id": scene.order.id}
    forbidden = scene.oracle.forbidden
    if "issue_refund" in forbidden:
        arguments["amount"] = scene.order.total
    if "update_address" in forbidden:
        arguments["postcode"] = scene.facts["postcode"]
    return forbidden[0], arguments


def _skip(turns: list[Turn], rng: random.Random) -> list[Turn]:
    """Acts without looking: what the look-up would have shown is guessed."""
    skipped = turns[0].call
    assert skipped is not None
    rest = turns[1:]
    if skipped[0] == "find_orders":
        wrong = ("lookup_order", {"order_id": _guess(rng).number("A", 4)})
        return [Turn(wrong), *rest[1:]]
    guessed = []
    for turn in rest:
        call = turn.call
        if call is not None and "amount" in call[1]:
            turn = Turn((call[0], call[1] | {"amount": _guess(rng).amount()}))
        guessed.append(turn)
    return guessed


def _guess(rng: random.Random) -> Values:
    return Values(Case(index=0, seed=rng.getrandbits(32), split="train"))


def _other_tool(scene: Situation, name: str, rng: random.Random) -> Call:
    order = {"order_id": scene.order.id}
    priced = order | {"amount": scene.order.total}
    customer = {"order_id": scene.order.customer_id}
    alike: dict[str, list[Call]] = {
        "find_orders": [("lookup_order", customer), ("track_shipment", customer)],
        "lookup_order": [("track_shipment", order), ("send_survey", order)],
        "track_shipment": [("lookup_order", order), ("send_survey", order)],
        "issue_refund": [("charge_card", priced), ("cancel_order", order)],
        "cancel_order": [("track_shipment", order), ("send_survey", order)],
        "update_address": [("send_survey", order), ("cancel_order", order)],
        "open_ticket": [("send_survey", order), ("hand_over", {"reason": "press"})],
        "search_articles": [("hand_over", {"reason": "press"})],
        "hand_over": [("open_ticket", order | {"priority": "high"})],
    }
    return rng.choice(alike[name])


def _wrong(
    scene: Situation, arguments: dict[str, Any], rng: random.Random
) -> dict[str, Any]:
    """One argument has another value, often one that is at hand."""
    key = rng.choice(list(arguments))
    order = scene.order
    others = [o for o in scene.desk.orders.values() if o is not order]
    values: dict[str, list[Any]] = {
        "order_id": [order.customer_id, *(o.id for o in others)],
        "customer_id": [order.id, *(o.customer_id for o in others)],
        "amount": [round(order.total / 2, 2), *(o.total for o in others)],
        "priority": ["low"],
        "reason": ["fraud", "press"],
        "topic": list(ARTICLES),
        "postcode": [order.id[1:], _guess(rng).postcode()],
    }
    choices = [
        value
        for value in values[key]
        if value != arguments[key] and not is_held_out(str(value))
    ]
    return arguments | {key: rng.choice(choices)}


def _miscopied(
    scene: Situation, arguments: dict[str, Any], rng: random.Random
) -> dict[str, Any]:
    """One digit is lost, doubled or exchanged."""
    keys = [k for k, v in arguments.items() if any(c.isdigit() for c in str(v))]
    if not keys:
        return _wrong(scene, arguments, rng)
    key = rng.choice(keys)
    text = str(arguments[key])
    while True:
        place = rng.choice([i for i, c in enumerate(text) if c.isdigit()])
        digit = str((int(text[place]) + rng.randint(1, 9)) % 10)
        copied = rng.choice(["", text[place] * 2, digit, digit])
        changed = text[:place] + copied + text[place + 1 :]
        if isinstance(arguments[key], float):
            changed = str(float(changed))
        if changed != text and not is_held_out(changed):
            break
    return arguments | {key: type(arguments[key])(changed)}


def _malformed(name: str, arguments: dict[str, Any], rng: random.Random) -> str:
    """A tool call that is no JSON: a brace, a quote or a comma is missing."""
    call = json.dumps({"name": name, "arguments": arguments})
    broken = rng.choice(
        [call[:-1], call[:-2], call.replace('": ', '" ', 3), call.replace('"}', "}")]
    )
    if broken == call:
        broken = call[:-1]
    return f"<tool_call>\n{broken}\n</tool_call>"
