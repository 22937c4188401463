"""What a training did, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.runs.lines import (
    SURE,
    Line,
    count,
    interval,
    number,
    percent,
    threshold,
    wrapped,
)
from agentgym.runs.summary_json import GainJson, MismatchJson, ShareJson, TrainingJson


def training_section(
    training: TrainingJson,
    measured: Mapping[str, Sequence[Episode]],
    width: int = 80,
) -> Iterator[Line]:
    """Before and after, what it took, and where the agent is.

    Args:
        training: The `training` object of `summary.json`.
        measured: The episodes of each measurement.
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
        f"{training.get('seconds', 0.0) / 60:.1f} minutes",
    ]
    yield Line(f"took       {', '.join(took)}")
    yield from _sampled(training.get("mismatch"), width)
    yield from _costs(measured)
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


def cost_per_pass(episodes: Sequence[Episode]) -> tuple[float, float] | None:
    """Tokens and tool calls per passed episode, those that failed included.

    Returns:
        None if none passed.
    """
    played = [episode for episode in episodes if episode.counted]
    passed = sum(episode.outcome is Outcome.passed for episode in played)
    if not passed:
        return None
    tokens = sum(episode.tokens for episode in played)
    calls = sum(row["calls"] for episode in played for row in episode.tools)
    return tokens / passed, calls / passed


def _costs(measured: Mapping[str, Sequence[Episode]]) -> Iterator[Line]:
    costs = {name: cost_per_pass(episodes) for name, episodes in measured.items()}
    before, after = costs.get("before"), costs.get("after")
    if before is None:
        return
    for place, noun in enumerate(("tokens", "tool calls")):
        if not before[place]:
            continue
        text = f"{noun} per passed episode: {number(before[place])} before"
        if after is not None:
            change = 100 * (after[place] / before[place] - 1)
            text += f", {number(after[place])} after ({change:+.0f} %)"
        yield Line(text)


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


def _range(share: ShareJson) -> str:
    return f"({interval(share['low'], share['high'])} %)"
