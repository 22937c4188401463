"""Makes the episode that a claimed rollout asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from agentgym.playing.play import EpisodePlay
from agentgym.playing.spec import EpisodeSpec
from agentgym.scenarios.cases import Case, CaseSource
from agentgym.training.hub.runner_client import Claim, RunnerClient
from pytest_agentgym.collect.collection import ScenarioItem
from pytest_agentgym.collect.options import MODEL_OPTIONS
from pytest_agentgym.collect.policy import asks_policy
from pytest_agentgym.play.apart.making import make_play
from pytest_agentgym.play.run_context import RUN, case_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A claimed rollout with its scenario and case."""

    claim: Claim
    item: ScenarioItem
    case: Case

    @property
    def id(self) -> str:
        """The rollout's and the episode's id."""
        return self.claim.rollout_id


class RolloutMaker:
    """Makes rollouts of claims, and episodes of rollouts.

    Args:
        client: Knows where each attempt finds the policy.
    """

    def __init__(self, client: RunnerClient) -> None:
        self._client = client
        self._cases: dict[tuple[str, int | None], CaseSource] = {}

    def rollout(self, claim: Claim, item: ScenarioItem) -> Rollout:
        """The rollout of a claim on this scenario.

        Args:
            claim: What the hub gave this runner to play.
            item: The scenario that it names.

        Raises:
            UsageError: The scenario has no such case.
        """
        source = self._cases.get((item.nodeid, claim.seed))
        if source is None:
            source = case_source(item, claim.seed)
            self._cases[item.nodeid, claim.seed] = source
        case = source.at(claim.task.split, claim.task.case)
        if claim.task.phase != "train":
            # The tasks of a group that is learnt from must be the same.
            case = replace(case, repeat=claim.task.repeat)
        return Rollout(claim=claim, item=item, case=case)

    def play(self, rollout: Rollout) -> EpisodePlay:
        """Its episode; each attempt at it has a policy endpoint of its own."""
        claim, item, case = rollout.claim, rollout.item, rollout.case
        run = item.config.stash[RUN]
        policy = item.config.stash[MODEL_OPTIONS].policy
        index = claim.task.case
        item.ihook.pytest_agentgym_episode_started(item=item, index=index, case=case)
        spec = EpisodeSpec(
            id=claim.rollout_id,
            scenario=item.nodeid,
            index=index,
            case=case,
            checks=item.specs,
            policy=policy,
            asks_policy=partial(asks_policy, item),
        )
        endpoints = partial(self._client.endpoint, claim)
        return make_play(item, spec, run.limits_of(item), endpoints)
