"""What a training did, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from agentgym.runs.lines import (
    SURE,
    Line,
    count,
    dollars,
    duration,
    interval,
    number,
    percent,
    threshold,
    wrapped,
)
from agentgym.runs.summary_json import (
    GainJson,
    MismatchJson,
    ShareJson,
    SignJson,
    SolvedJson,
    TrainingJson,
)


def training_section(training: TrainingJson, width: int = 80) -> Iterator[Line]:
    """Before and after, what it took, and where the agent is.

    Args:
        training: The `training` object of `summary.json`.
        width: Characters that a line may have.
    """
    shares = {"before": training.get("before"), "after": training.get("after")}
    for name, share in shares.items():
        if share and share.get("value") is not None:
            text = f"{name:<11}{percent(share['value'])} {_range(share)}"
            yield Line(text, {"bold": name == "after"})
    difference = training.get("difference")
    if difference and difference.get("value") is not None:
        low, high = 100 * difference["low"], 100 * difference["high"]
        text = (
            f"difference {100 * difference['value']:+.1f} points "
            f"({low:+.1f} to {high:+.1f}), {_on_what(difference)}"
        )
        markup = {"green" if low > 0 else "yellow": True}
        yield from wrapped(text, width, hanging=" " * 11, markup=markup)
    yield from _looks(training, width)
    took = [
        count(training.get("episodes", 0), "episode"),
        count(training.get("updates", 0), "update"),
        duration(training.get("seconds", 0.0)),
    ]
    yield Line(f"took       {', '.join(took)}")
    yield from _sampled(training.get("mismatch"), width)
    yield from _costs(training, width)
    saved = None
    if agent := training.get("agent"):
        folder = PurePath(agent)
        option = f"--agentgym-policy {folder.parent.name}_{folder.name}"
        saved = f"{folder} (measure it again with {option})"
    for title, sentence in (("ended", training.get("reason")), ("saved", saved)):
        if sentence:
            yield from wrapped(sentence, width, f"{title:<11}", hanging=" " * 11)
    if not training.get("met"):
        yield from _never_passed(training.get("never_passed") or (), width)
    yield from _signs(training.get("signs") or (), width)


def _on_what(difference: GainJson) -> str:
    """What the difference is made of; early versions had pairs only."""
    pairs = "paired" if difference.get("paired", True) else "not paired"
    cases = difference.get("cases")
    if cases is None:
        return f"{pairs} on the same cases"
    return f"{pairs} on the same {count(cases, 'case')}, for others of their kind"


def _looks(training: TrainingJson, width: int) -> Iterator[Line]:
    """How often held-out cases were looked at, and what is certain after that."""
    sure = training.get("at_least")
    if sure is None:
        return
    looks = training["looks"]
    at_least = f"at least {percent(sure)} at {SURE} confidence"
    text = f"none at held-out cases after training; before it {at_least}"
    if looks:
        taken = f"{count(looks, 'look')} at held-out cases after training"
        text = f"{taken}; {at_least} over all of them"
    if training.get("gate") == "certified":
        state = "is" if training["met"] else "is not"
        target = threshold(training["target"])
        confidence = threshold(round(training["next_confidence"], 6))
        text = (
            f"{text}; {target} {state} certified; a further look would be at "
            f"{confidence} confidence"
        )
    elif training["met"] and looks:
        text += (
            "; the measured share is that of the first look that passed, which is "
            "optimistic: --agentgym-gate certified trains until the target is certain"
        )
    yield from wrapped(text, width, f"{'looks':<11}", hanging=" " * 11)


def _sampled(mismatch: MismatchJson | None, width: int) -> Iterator[Line]:
    """How far another engine than the trainer's own, or half precision, was from it."""
    if mismatch is None:
        return
    another = mismatch["engine"] != "own"
    if not another and not mismatch["corrected_share"]:
        return
    engine = "vLLM" if another else "half precision"
    text = (
        f"by {engine}, whose log-probabilities differ from the trainer's by "
        f"{mismatch['mean']:.1g} on average (at most {mismatch['max']:.1g}): "
        f"{percent(mismatch['corrected_share'])} of trained tokens corrected"
    )
    if mismatch["truncated_share"]:
        text += f", {percent(mismatch['truncated_share'])} at the limit"
    yield from wrapped(text, width, f"{'sampled':<11}", hanging=" " * 11)


def _costs(training: TrainingJson, width: int) -> Iterator[Line]:
    """What a passed episode took, before and after."""
    costs = training.get("per_passed")
    if costs is None or costs["before"] is None:
        return
    before, after = costs["before"], costs["after"]
    for noun, price in [
        ("tokens", None),
        ("tool calls", None),
        *(("dollars", name) for name in before["usd"]),
    ]:
        first, last = _amount(before, noun, price), _amount(after, noun, price)
        if not first:
            continue
        shown = dollars if noun == "dollars" else number
        text = f"{noun} per passed episode: {shown(first)} before"
        if last is not None:
            text += f", {shown(last)} after ({100 * (last / first - 1):+.0f} %)"
        if price:
            text += f", at the price of {price}"
        yield from wrapped(text, width, hanging=" " * 11)


def _amount(solved: SolvedJson | None, noun: str, price: str | None) -> float | None:
    if solved is None:
        return None
    if price is not None:
        return solved["usd"].get(price)
    return solved["tokens"] if noun == "tokens" else solved["tool_calls"]


def _never_passed(names: Sequence[str], width: int) -> Iterator[Line]:
    """Scenarios that training cannot help, and what can."""
    if not names:
        return
    text = (
        f"never passed while it learned: {count(len(names), 'scenario')}. What a "
        "policy never does cannot be rewarded: see their failed checks, and let the "
        "prompt, the tools' answers or easier cases lead it there"
    )
    yield from wrapped(text, width, hanging="  ", markup={"yellow": True})
    for name in names:
        yield from wrapped(name, width, "  ")


def _signs(signs: Sequence[SignJson], width: int) -> Iterator[Line]:
    """Signs of reward hacking, each below its scenario's name."""
    if not signs:
        return
    text = (
        f"{count(len(signs), 'sign')} of reward hacking: ways to pass that training "
        "has brought. Read some of these episodes before you trust the reliability"
    )
    yield from wrapped(text, width, hanging="  ", markup={"yellow": True})
    for sign in signs:
        yield from wrapped(named_sign(sign), width, "  ")
        yield from wrapped(sign["sentence"], width, "    ")


def named_sign(sign: SignJson) -> str:
    """What a sign is about, and since when it is there."""
    where = sign["scenario"] or "all scenarios together"
    return f"{where} ({sign['title']}, since update {sign['since']})"


def _range(share: ShareJson) -> str:
    return f"({interval(share['low'], share['high'])} %)"
