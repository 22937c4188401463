"""What came of a training: its result, and the saved agent with its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agentgym.policy.trained.agent_folder import base_entry, save_agent, saved_already
from agentgym.reliability.looks import alpha_of
from agentgym.runs.files.main_prompt import main_prompt
from agentgym.runs.files.updates import sampler_mismatch
from agentgym.runs.summary_json import SignJson
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.training_result import TrainingResult
from agentgym.training.loop.checkpoint import State
from agentgym.training.loop.measurement import Measurement


def make_result(
    plan: TrainingPlan,
    state: State,
    before: Measurement,
    after: Measurement | None,
    *,
    reason: str,
    interrupted: bool = False,
    never_passed: list[str],
    signs: list[SignJson],
) -> TrainingResult:
    """Joins what was measured to a result, whose agent is not saved yet.

    Args:
        plan: What was trained.
        state: How far the training came.
        before: Held-out cases before training, as far as they were played.
        after: The same cases with the last version that was measured; None if none was
            trained and measured to its end.
        reason: Why it ended.
        interrupted: Whether it was stopped before its end.
        never_passed: Scenarios of which no episode passed while it learned.
        signs: Signs of reward hacking that there are.
    """
    last = before if after is None else after
    judgeable = last.judgeable and not interrupted
    look = 0 if after is None else len(state.looked)
    target = plan.config.target
    certain = last.certifies(target, look)
    enough = certain if plan.certified else last.reaches(target)
    return TrainingResult(
        before=before.to_json() if before.counted else None,
        after=None if after is None else after.to_json(),
        difference=None if after is None else before.difference(after),
        target=target,
        met=judgeable and enough,
        judgeable=judgeable,
        interrupted=interrupted,
        episodes=state.episodes,
        updates=state.version,
        seconds=state.seconds,
        policy=plan.base_spec,
        version=0 if after is None else state.looked[-1],
        looks=len(state.looked),
        agent=None,
        reason=reason,
        never_passed=never_passed,
        gate="certified" if plan.certified else "point",
        at_least=last.at_least(look),
        next_confidence=1 - alpha_of(len(state.looked) + 1),
        mismatch=sampler_mismatch(plan.run_folder, plan.engine),
        signs=signs,
    )


def save_trained(
    plan: TrainingPlan, state: State, result: TrainingResult, adapter: Path
) -> TrainingResult:
    """Saves the measured version as an agent, with its card.

    Args:
        plan: What was trained.
        state: How far the training came.
        result: What came of it.
        adapter: Folder of the measured version's LoRA weights.

    Returns:
        The result with the agent's folder.
    """
    card = _card(plan, state, result)
    # It may have been killed right after.
    same = {name: card[name] for name in ("run", "updates", "looks")}
    agent = saved_already(plan.root, plan.name, same)
    if agent is None:
        agent = save_agent(plan.root, plan.name, adapter, card)
    return replace(result, agent=agent)


def _card(plan: TrainingPlan, state: State, result: TrainingResult) -> dict[str, Any]:
    """What `agent.json` says of how the agent was made."""
    numbers = (
        *("before", "after", "difference", "target", "gate", "at_least", "looks"),
        *("episodes", "updates", "seconds", "signs"),
    )
    return {
        "base": base_entry(plan.base),
        "scenarios": [
            {
                "scenario": info.scenario,
                "source": info.source,
                # Which models took part in the rewards that were learned from, if any.
                **(
                    {"judged_by": judges}
                    if (judges := state.judged.get(info.scenario))
                    else {}
                ),
            }
            for info in plan.scenarios
        ],
        # What agents that are made of it later are compared with.
        "prompt": main_prompt(plan.run_folder),
        "config": plan.config.model_dump(mode="json"),
        "seed": plan.seed,
        "run": plan.run_folder.name,
        **{name: value for name, value in result.to_json().items() if name in numbers},
    }
