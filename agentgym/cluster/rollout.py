"""One episode as a rollout of Agent Lightning's own controller, or in a Kubernetes job.

Others reach it as `agentgym.runner`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentgym.cluster.pytest_process import Ended, run_pytest
from agentgym.errors import AgentGymError, HarnessError, UsageError
from agentgym.exit_code import ExitCode
from agentgym.recording.blame import Outcome
from agentgym.runs.files.held_folder import HeldFolder

__all__ = ["ENV_MAP", "Episode"]

ENV_MAP = {
    "AGENTGYM_SCENARIO": "input.scenario",
    "AGENTGYM_SPLIT": "input.split",
    "AGENTGYM_CASE": "input.case",
}
"""Where the controller finds what to play in a rollout's input."""

_MODEL = "policy"
"""Agent Lightning's gateway puts the name of its own model in its place."""
_PAUSES = (0.5, 2.0, 5.0)
_POST_SECONDS = 30.0


class Episode:
    """Plays one case once, with the user's own agent, and reports its reward.

    The current folder must be the project's: `AGENTGYM_SCENARIO` is a node id there.

    Args:
        environment: What the controller sets; by default this process's environment.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def run(self) -> None:
        """Plays the episode and posts its reward.

        Raises:
            UsageError: The rollout names no case that can be played.
            AgentGymError: What came of it is not the agent's doing, so there is no
                reward: the controller marks the rollout as failed.
        """
        scenario = self._get("AGENTGYM_SCENARIO")
        endpoint, events = self._get("AGL_OPENAI_BASE_URL"), self._get("AGL_EVENT_URL")
        key = self._environment.get("AGL_KEY", "")
        with HeldFolder() as folder:
            ended = run_pytest(
                [
                    scenario,
                    f"--agentgym-case={self._case()}",
                    "--agentgym-episodes=1",
                    f"--agentgym-policy={endpoint}#{_MODEL}",
                    # All tries of one attempt would be recorded as one episode.
                    "--agentgym-infra-retries=0",
                    *("-n0", "-q"),
                ],
                folder=folder,
                root=Path.cwd(),
                environment={"AGENTGYM_API_KEY": key},
            )
        ended.raise_signal()
        outcome = _outcome(ended, scenario)
        reward = float(ended.summary["mean_reward"])
        _post(events, key, {"value": reward, "source": "agentgym", "reason": outcome})
        # Thousands of rollouts leave no folders; where there is no reward, it is kept.
        if ended.summary["folder"] is not None:
            shutil.rmtree(ended.summary["folder"], ignore_errors=True)

    def _get(self, name: str) -> str:
        value = self._environment.get(name)
        if not value:
            source = ENV_MAP.get(name)
            how = (
                f'have the rollout\'s env_map say "{name}": "{source}"'
                if source
                else "Agent Lightning's controller sets it"
            )
            raise UsageError(f"{name} is not in the environment: {how}")
        return value

    def _case(self) -> str:
        split, case = self._get("AGENTGYM_SPLIT"), self._get("AGENTGYM_CASE")
        if split not in ("train", "held_out"):
            raise UsageError(f"AGENTGYM_SPLIT={split}: choose train or held_out")
        if not (case.isascii() and case.isdigit()):
            raise UsageError(f"AGENTGYM_CASE={case}: give the case's number, from 0")
        return f"{split}#{case}"


def _outcome(ended: Ended, scenario: str) -> str:
    """The outcome of the one episode, if it measures the agent.

    Raises:
        AgentGymError: It does not, or there was no episode or more than one.
    """
    if ended.code == ExitCode.USAGE:
        raise UsageError(ended.sentence)
    episodes: dict[str, int] = ended.summary.get("episodes", {})
    outcomes = [name for name, count in episodes.items() for _ in range(count)]
    if not outcomes:
        raise AgentGymError(
            f"{scenario} was not played: pytest ended with exit code {ended.code}, and "
            "its output says why"
        )
    if len(outcomes) > 1:
        raise UsageError(
            f"AGENTGYM_SCENARIO={scenario} names {len(outcomes)} scenarios: give the "
            "node id of one"
        )
    if ended.summary["simulators"]["undeclared"]:
        raise UsageError(
            f"{scenario}: a judge or a simulated user takes part in its rewards: write "
            "@scenario(judged=True), in a class `judged = True`, to say that a "
            "training may learn from them"
        )
    if not Outcome(outcomes[0]).counts:
        raise HarnessError(
            f"{outcomes[0]}: the episode says nothing about the agent and has no "
            "reward; pytest's output says why"
        )
    return outcomes[0]


def _post(url: str, key: str, reward: dict[str, Any]) -> None:
    """Posts the reward event.

    Raises:
        AgentGymError: The gateway does not take it.
    """
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    body = json.dumps({"event_type": "reward", "data": reward}).encode()
    problem = ""
    for pause in (*_PAUSES, None):
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_POST_SECONDS):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            with error:
                problem = f"answered {error.code} {error.reason}"
            if error.code < 500:
                break
        except OSError as error:
            problem = f"is not reachable: {getattr(error, 'reason', error)}"
        if pause is not None:
            time.sleep(pause)
    raise AgentGymError(f"the reward was not taken: {url} {problem}")


def main() -> int:
    """Plays the episode of a Kubernetes job: `python -m agentgym.runner`."""
    try:
        Episode().run()
    except AgentGymError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        return ExitCode.USAGE if isinstance(exc, UsageError) else ExitCode.BELOW
    return ExitCode.OK
