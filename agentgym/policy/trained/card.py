"""A trained agent's card, `agent.json`: read, and shown as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agentgym.policy.folders.others.validator import read_said
from agentgym.policy.trained.agent_folder import CARD
from agentgym.runs.lines import dollars, duration, number


def read_card(folder: Path) -> dict[str, Any]:
    """Reads what is known of a saved version.

    Raises:
        UsageError: It is missing, corrupted, or of a newer agentgym.
    """
    return read_said(folder, CARD)


def card_text(name: str, about: dict[str, Any]) -> str:
    """What an agent was trained on, and how reliable it was before and after.

    Args:
        name: Its name with its version.
        about: What `read_card` gives.
    """
    return "\n".join(f"{label:<12}{text}" for label, text in _facts(name, about))


def _facts(name: str, about: dict[str, Any]) -> list[tuple[str, str]]:
    base = about["base"]
    revision = base.get("revision")
    which = f"revision {revision[:12]}, " if revision else ""
    facts = [
        ("agent", f"{name}, saved {about.get('created') or 'at an unknown time'}"),
        ("base model", f"{base['spec']} ({which}sha256 {base['digest'][:12]})"),
    ]
    scenarios = [_judged(s) for s in about.get("scenarios", ())]
    facts += [("" if i else "scenarios", text) for i, text in enumerate(scenarios)]
    for key in ("before", "after"):
        if about.get(key):
            facts.append((key, f"{_percent(about[key])} on held-out cases"))
    if about.get("difference"):
        facts.append(("difference", _points(about["difference"])))
    solved = list(_solved(about.get("per_passed") or {}))
    facts += [("" if i else "per passed", text) for i, text in enumerate(solved)]
    effort = [f"{about[k]:,} {k}" for k in ("episodes", "updates") if k in about]
    if about.get("seconds") is not None:
        effort.append(duration(about["seconds"]))
    if effort:
        facts.append(("training", ", ".join(effort)))
    facts += [("sign", text) for text in _signs(about.get("signs") or ())]
    if about.get("judged_episodes"):
        read = f"{about['judged_episodes']:,} episodes, measurements included"
        facts.append(("judged", f"{read}: by checks, without a person to read them"))
    return facts


def _solved(costs: dict[str, Any]) -> Iterator[str]:
    """What a passed episode takes after training, and took before."""
    before, after = costs.get("before"), costs.get("after")
    if not before or not after:
        return
    for noun in ("tokens", "tool_calls"):
        new, old = number(after[noun]), number(before[noun])
        yield f"{new} {noun.replace('_', ' ')} ({old} before)"
    for model, old in before["usd"].items():
        new = dollars(after["usd"].get(model))
        yield f"{new} at the price of {model} ({dollars(old)} before)"


def _signs(signs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Signs of reward hacking in its training."""
    for sign in signs:
        where = sign["scenario"] or "all scenarios together"
        yield f"of reward hacking: {where}, {sign['title']}"


def _judged(scenario: dict[str, Any]) -> str:
    """A scenario's name, and which models judged its rewards."""
    name: str = scenario["scenario"]
    models = ", ".join(scenario.get("judged_by", ()))
    return f"{name} (judged by {models})" if models else name


def _percent(share: dict[str, float]) -> str:
    text = f"{100 * share['value']:.1f} %"
    if share.get("low") is None or share.get("high") is None:
        return text
    return f"{text} ({100 * share['low']:.1f} to {100 * share['high']:.1f} %)"


def _points(difference: dict[str, float]) -> str:
    text = f"{100 * difference['value']:+.1f} points"
    if difference.get("low") is None or difference.get("high") is None:
        return text
    return f"{text} ({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"
