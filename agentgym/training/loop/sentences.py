"""What a training says to its user: why it cannot go on, why it ended, how it goes.

Errors are returned, and raised where they arise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agentgym.errors import UsageError
from agentgym.reliability.looks import alpha_of
from agentgym.runs.lines import duration, harmless
from agentgym.runs.summary_json import SignJson
from agentgym.training.batch.batch import BatchRow
from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.job.plan import TrainingPlan, trained_components
from agentgym.training.loop.checkpoint import State
from agentgym.training.loop.measurement import Measurement

INTERRUPTED = "it was interrupted"


def target_met(*, certified: bool) -> str:
    """A version reached the target.

    Args:
        certified: Whether that is certain.
    """
    return "the target was certified" if certified else "the target was met"


def met_before(*, certified: bool) -> str:
    """There was nothing to train.

    Args:
        certified: Whether that is certain.
    """
    return f"{target_met(certified=certified)} before training"


def looked(look: int, measurement: Measurement, target: float) -> str:
    """A look at held-out cases that may certify the target.

    Args:
        look: Its number.
        measurement: What came of it.
        target: In [0, 1].
    """
    sure = measurement.certifies(target, look)
    return (
        f"look {look} at held-out cases, at {100 * (1 - alpha_of(look)):.4g} % "
        f"confidence: at least {measurement.at_least(look) or 0.0:.1%}, "
        f"{100 * target:g} % is {'' if sure else 'not '}certified"
    )


def asked_nothing() -> UsageError:
    """No agent asked the policy for anything."""
    return UsageError(
        "the agent asked the policy endpoint nothing: make it with the `policy` "
        "fixture (its base_url, api_key and model); an agent whose model is a "
        "closed API can be measured, not trained"
    )


def too_few_count(before: Measurement) -> UsageError:
    """The measurement before training cannot be judged."""
    return UsageError(
        f"only {before.counted} of {len(before.outcomes)} episodes count before "
        "training: too few to compare anything with"
    )


def nothing_trained(batch: Sequence[BatchRow], plan: TrainingPlan) -> str:
    """Why a batch has no token with a gradient of the policy loss.

    Args:
        batch: Its rows.
        plan: Says what is trained.
    """
    sampled = Counter(part for made in batch for part in made.row.components)
    why = "the batch has no token to train, so that nothing can be learned from it: "
    if not sampled:
        return f"{why}no episode whose reward differs from others has a model call"
    parts = ", ".join(f"{count} {name}" for name, count in sampled.most_common())
    trained: set[str] = set()
    for info in plan.learned_from:
        trained |= trained_components(info, plan.config)
    return (
        f"{why}all that the model sampled belongs to frozen components ({parts}), "
        f"and what is trained is {', '.join(sorted(trained))}; train another one, too, "
        "by --agentgym-components or @scenario(trainable_components=...)"
    )


def never_vary(state: State, curriculum: Curriculum, *, tool_calls: int) -> UsageError:
    """All groups had zero variance before anything was learned.

    Args:
        state: Of the training.
        curriculum: Knows what was played.
        tool_calls: Model calls in training episodes that called a tool.
    """
    if not tool_calls:
        played = sum(record.played for record in curriculum.records.values())
        return UsageError(
            f"in the last {played:.0f} episodes the model made no tool call and "
            "earned nothing: start from a model that can call tools with its chat "
            "template, or give the agent's prompt an example of a call"
        )
    return UsageError(
        f"the rewards of the last {state.zero_variance_batches} batches never vary: "
        "all episodes of a case earn the same, so there is nothing to learn; write "
        "checks that some episodes pass and others fail, or use a stronger model"
    )


def zero_variance(state: State) -> str:
    """All groups had zero variance after something was learned."""
    return (
        f"the last {state.zero_variance_batches} batches had zero-variance groups "
        "only: all episodes of a case earned the same"
    )


def updates_made(most: int) -> str:
    """The last update that the settings allow was made."""
    return f"all {most} updates were made"


def time_used_up(minutes: float, *, measuring: float, updates: int) -> str:
    """The budget is used up.

    Args:
        minutes: The budget.
        measuring: Seconds that one measurement of the held-out cases takes.
        updates: How many were made.
    """
    used = f"the budget of {duration(60 * minutes)} was used up"
    if updates:
        return used
    # A larger model than before, most often: nothing says what would be enough.
    return (
        f"{used} before the first update: each of two measurements takes about "
        f"{duration(measuring)}; give --agentgym-budget more, or measure fewer "
        "episodes (--agentgym-episodes)"
    )


def validated(version: int, validation: Measurement, threshold: float) -> str:
    """A version was validated.

    Args:
        version: Its number.
        validation: What came of it.
        threshold: The validation threshold, in [0, 1].
    """
    return (
        f"version {version}: {validation.value or 0.0:.1%} on {validation.counted} "
        f"validation episodes (validation threshold {threshold:.1%})"
    )


def hacked(sign: SignJson) -> str:
    """A sign of reward hacking is there."""
    where = sign["scenario"] or "all scenarios together"
    # It may quote a reply.
    return harmless(f"sign of reward hacking: {where}: {sign['sentence']}")


def resumed(state: State) -> str:
    """The training goes on from an earlier session."""
    return f"resumed after {state.version} updates and {state.episodes} episodes"
