"""A runner's side of the wire: claims rollouts and reports how they ended."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from agentgym.endpoint import PolicyEndpoint
from agentgym.errors import AgentGymError
from agentgym.recording.plain import clean
from agentgym.training.job.task import EPISODE, RUNNER_HEADER, Task
from agentgym.training.job.traits import Traits

MODEL = "policy"
"""The policy's name for agents, whatever the version behind it."""

_TIMEOUT = 30.0
"""Seconds for an answer: an update in the hub's process may hold the GIL for some."""
_PATIENCE = 10.0
_HEARD_SECONDS = 5.0
_PAUSE = 0.2


class HubGone(AgentGymError):
    """The main process with the hub has ended or answers no more.

    Args:
        message: What happened.
        away: Whether it may come back: it did not refuse.
    """

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A rollout that this runner has to play.

    Attributes:
        rollout_id: Its id, which is the episode's, too.
        task: What is played.
        seed: Of the run that it belongs to; None if nobody says.
    """

    rollout_id: str
    task: Task
    seed: int | None = None


class RunnerClient:
    """A connection of one thread to the hub; it is kept alive.

    Args:
        url: The hub's address, as `Gateway.url`.
        key: `Gateway.key`.
        runner: This runner's name in the hub.
        elsewhere: Whether it is on another machine, so that nobody else notices its
            death: it is heard of every few seconds.
    """

    def __init__(
        self, url: str, key: str, runner: str, *, elsewhere: bool = False
    ) -> None:
        self._url = url
        self._key = key
        self._runner = runner
        self._elsewhere = elsewhere
        self._sent = 0.0
        named = {RUNNER_HEADER: runner} if elsewhere else {}
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}", **named},
            timeout=_TIMEOUT,
            # The hub is on this machine: no proxy of the environment leads there.
            trust_env=False,
        )
        # Of a process there is only its number in the name, which is another each time.
        worker = runner.partition("-")[0]
        self._random = random.Random(worker)  # noqa: S311 - no secret

    def reach(self) -> None:
        """Asks the hub whether it is there.

        Raises:
            HubGone: It is not, or refuses.
        """
        self._send("GET", "/api/rollouts", params={"state_in": "queuing", "limit": 0})

    def be_heard(self) -> None:
        """Lets the hub know that this runner lives, if it has not lately.

        Raises:
            HubGone: It is not there, or refuses.
        """
        if self._elsewhere and time.monotonic() - self._sent > _HEARD_SECONDS:
            self.reach()

    def claim(self, most: int) -> list[Claim]:
        """Takes up to so many queued rollouts; those of other runners are not among.

        Raises:
            HubGone: No answer.
        """
        if most < 1:
            return []
        listed = self._send(
            "GET",
            "/api/rollouts",
            # Runners that ask at the same time should not all want the same ones.
            params={"state_in": "queuing", "limit": 4 * most},
        ).json()
        self._random.shuffle(listed)
        claims: list[Claim] = []
        for rollout in listed:
            if len(claims) == most:
                break
            rollout_id = rollout["rollout_id"]
            status = {"state": "running", "k8s_job_name": self._runner}
            if not self._patch(rollout_id, status):
                continue
            task = _task(rollout)
            if task is None:
                text = "harness_error: its input names no scenario, split and case"
                status = {"state": "failed", "error_message": text}
                self._patch(rollout_id, status)
                continue
            seed = rollout["input"].get("seed")
            claims.append(Claim(rollout_id=rollout_id, task=task, seed=seed))
        return claims

    def endpoint(self, claim: Claim, attempt: int) -> PolicyEndpoint:
        """Where the agent of this attempt finds the policy.

        Args:
            claim: The rollout.
            attempt: Number of the try at its episode, from 0.
        """
        mode = "train" if claim.task.phase == "train" else "val"
        path = f"/proxy/rollout/{claim.rollout_id}/attempt/{attempt}/mode/{mode}"
        return PolicyEndpoint(
            base_url=f"{self._url}{path}/openai/v1", api_key=self._key, model=MODEL
        )

    def finish(
        self,
        claim: Claim,
        attempt: int,
        *,
        reward: float,
        passed: bool,
        steps: list[float] | None,
        judged_by: Sequence[str] = (),
        traits: Traits | None = None,
    ) -> None:
        """Reports an episode's reward; harmless for a rollout that has ended already.

        Args:
            claim: The rollout.
            attempt: The try that counts.
            reward: In [0, 1].
            passed: Whether all checks passed.
            steps: Rewards of the single model calls, where there are any.
            judged_by: Models of judges and simulated users that took part in it.
            traits: What the agent did and said.

        Raises:
            HubGone: No answer.
        """
        data: dict[str, Any] = {
            "value": reward,
            "source": "agentgym",
            "reason": "passed" if passed else "failed",
        }
        if steps is not None:
            data["steps"] = steps
        if judged_by:
            data["judged_by"] = list(judged_by)
        if traits is not None:
            data["traits"] = traits.to_json()
        event = {"event_type": "reward", "data": data}
        path = f"/api/rollouts/{claim.rollout_id}/attempt/{attempt}/events"
        self._send("POST", path, json=event)
        status = {"state": "succeeded", "last_attempt_id": str(attempt)}
        self._patch(claim.rollout_id, status)

    def tell(self, claim: Claim, attempt: int, episode: dict[str, Any]) -> None:
        """Sends an episode home; before `finish` or `fail`.

        Args:
            claim: The rollout.
            attempt: The try that counts.
            episode: See `RolloutResult.episode`.

        Raises:
            HubGone: No answer.
        """
        path = f"/api/rollouts/{claim.rollout_id}/attempt/{attempt}/events"
        self._send("POST", path, json={"event_type": EPISODE, "data": episode})

    def fail(self, claim: Claim, attempt: int, outcome: str, message: str) -> None:
        """Reports that an episode says nothing about the agent, so has no reward.

        Args:
            claim: The rollout.
            attempt: Number of the last try at its episode, from 0.
            outcome: A value of `agentgym.recording.blame.Outcome`.
            message: What happened.

        Raises:
            HubGone: No answer.
        """
        self._patch(
            claim.rollout_id,
            {
                "state": "failed",
                "last_attempt_id": str(attempt),
                "error_message": clean(f"{outcome}: {message}"),
            },
        )

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def _patch(self, rollout_id: str, status: dict[str, str]) -> bool:
        """Whether the rollout is now in this state, by this runner's doing."""
        path = f"/api/rollouts/{rollout_id}"
        return self._send("PATCH", path, json={"status": status}).is_success

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        # A rollout that is forgotten, has ended or is another runner's.
        harmless = () if method == "GET" else (404, 409)
        begun: float | None = None
        while True:
            self._sent = time.monotonic()
            try:
                answer = self._http.request(method, path, **options)
                problem = f"answers {answer.status_code}: {answer.text[:200]}"
                if answer.is_success or answer.status_code in harmless:
                    return answer
                if answer.status_code < 500:
                    raise HubGone(f"the training's hub at {self._url} {problem}")
            except httpx.TransportError as error:
                problem = f"does not answer ({type(error).__name__}: {error})"
            begun = begun or time.monotonic()
            if time.monotonic() - begun >= _PATIENCE:
                break
            time.sleep(_PAUSE)
        raise HubGone(f"the training's hub at {self._url} {problem}", away=True)


def _task(rollout: Any) -> Task | None:
    """What a rollout plays; None if it is none of ours.

    Others, as Agent Lightning's trainer, may leave out what it is for.
    """
    phase = "train" if rollout["is_train"] else "validate"
    try:
        return Task.from_json({"phase": phase, "repeat": 0, **rollout["input"]})
    except (KeyError, TypeError):
        return None
