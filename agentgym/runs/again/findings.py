"""What is said of a run that was played again."""

from __future__ import annotations

from collections.abc import Iterator

from agentgym.runs.again.original import OriginalRun
from agentgym.runs.again.reproduction import Reproduction
from agentgym.runs.lines import count


def limits(original: OriginalRun) -> Iterator[str]:
    """What of a run cannot be reproduced.

    Args:
        original: Before it is played again.
    """
    sampled, policy = original.origin["sampled"], original.summary["policy"]
    rest = "compared are cases and first prompts"
    if sampled is None:
        who = f"{policy} is" if policy else "the agent's model is"
        yield (
            f"{who} not sampled by agentgym, so that nobody can have it say the same "
            f"again: {rest}"
        )
    elif sampled["engine"] != "own":
        yield (
            "vLLM sampled it, whose tokens depend on what else it had in flight: "
            f"{rest}"
        )
    simulators = original.summary["simulators"]
    roles = (simulators["judge"], simulators["user"])
    models = sorted({model for role in roles if role for model in role["models"]})
    if models:
        yield (
            f"{', '.join(models)} judged, or spoke for users: nobody can have them say "
            "the same again"
        )


def same(found: Reproduction, original: OriginalRun) -> bool:
    """Whether the second run came to the same.

    Args:
        found: What differs.
        original: The first run.
    """
    missing = original.fixed and (found.only_before or found.only_now)
    return not (found.differing or found.adapter or missing)


def result(found: Reproduction, original: OriginalRun) -> Iterator[str]:
    """What came of it, the verdict first.

    Args:
        found: What differs.
        original: The first run.
    """
    compared = "cases, replies, tool calls and outcomes"
    if not original.whole:
        compared = "cases and first prompts"
    episodes = count(found.compared, "episode")
    if not found.compared:
        yield "nothing is compared: the two runs have no episode in common"
    elif same(found, original):
        adapters = f", and the adapter after each of {count(found.updates, 'update')}"
        yield f"the same: {compared} of {episodes}{adapters if found.updates else ''}"
    else:
        yield (
            f"not the same: {found.differing} of {episodes} differ in their {compared}"
        )
    if found.first is not None:
        yield f"first: {found.first}"
    if found.adapter is not None:
        yield (
            f"the adapter differs from update {found.adapter} on; {found.updates} "
            "were compared"
        )
    if found.only_before or found.only_now:
        yield (
            f"not compared: {count(found.only_before, 'episode')} that only the first "
            f"run has, and {found.only_now} that only the second one has"
        )
    if found.unequal_updates is not None:
        before, now = found.unequal_updates
        yield f"the training made {count(before, 'update')}, and now {now}"
    if original.whole and (found.differing or found.adapter):
        yield from _rounding(original)


def _rounding(original: OriginalRun) -> Iterator[str]:
    """What may make a difference that nobody has made."""
    origin = original.origin
    if origin["sampled"] and origin["sampled"]["device"] == "gpu":
        yield "a GPU sampled it, which promises no order of additions"
    elif origin["in_flight"] != 1 or origin["workers"]:
        yield (
            "what is sampled together is rounded together, and many episodes were in "
            "flight: with --agentgym-concurrency 1 and no workers all of it comes again"
        )
