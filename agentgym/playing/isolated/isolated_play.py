"""An episode that another process plays."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentgym.endpoint import without_secrets
from agentgym.errors import AgentError, HarnessError
from agentgym.playing.attempt import Attempt
from agentgym.playing.episode import Episode
from agentgym.playing.isolated.fork_server import ForkServer, gone
from agentgym.playing.isolated.line import Wire
from agentgym.playing.play import EpisodePlay
from agentgym.playing.spec import EpisodeSpec, Limits
from agentgym.playing.stage import Stage
from agentgym.recording.trajectory import ToolCall, Trajectory

GRACE_SECONDS = 2.0
"""How much longer than an episode's time a process may give no sign of life."""


class IsolatedPlay(EpisodePlay):
    """One episode, played by a process that the fork server starts.

    The process itself keeps limits of time, retries and the like, and says what it
    does: that it lives, how far it has come, and the episode in the end. If it ends
    before that, what it has said is the episode.

    Args:
        spec: What is played.
        stage: Makes what is needed for an episode of which no more is known.
        limits: What it may use up.
        server: Starts the process.
        request: What the process is to do.
        cpu_seconds: Of processor time, after which the kernel ends it.
        control_of: Makes the exception that steers the runner of what it said of it.
        learn: Takes in whatever else its result says.
    """

    def __init__(
        self,
        spec: EpisodeSpec,
        stage: Stage,
        limits: Limits,
        *,
        server: ForkServer,
        request: Mapping[str, Any],
        cpu_seconds: int,
        control_of: Callable[[Mapping[str, str]], BaseException],
        learn: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(spec, stage, limits)
        self._server = server
        self._request = request
        self._cpu_seconds = cpu_seconds
        self._control_of = control_of
        self._learn = learn
        self._wire: Wire | None = None
        self._was_refused = False

    def run(self) -> Episode | None:
        """Waits for what the process says of the episode; see `EpisodePlay.run`."""
        attempt = self._begin()
        self.started = None
        with self._server.room(self._stop) as there_is:
            if not there_is:
                return None
            try:
                wire = self._wire = self._server.start(self._request)
            except HarnessError as error:
                attempt.fail(error, harness=True)
                return self._finish(attempt, self._make(attempt))
            try:
                return self._hear(attempt, wire)
            finally:
                wire.close()

    async def run_async(self) -> Episode | None:
        """Not there: an event loop of this process plays none of its episodes."""
        raise NotImplementedError

    @property
    def refused(self) -> bool:
        """See `EpisodePlay`."""
        return self._was_refused

    def overdue(self, now: float) -> bool:
        """Whether the process gives no sign of life, as one that hangs in C."""
        return super().overdue(now - GRACE_SECONDS)

    def abandon(self, reason: BaseException | None = None) -> Episode | None:
        """Ends the episode, and kills its process; see `EpisodePlay`.

        Args:
            reason: Why; by default that the time is used up.
        """
        try:
            return super().abandon(reason)
        finally:
            if self._wire is not None:
                self._wire.hang_up()

    def _hear(self, attempt: Attempt, wire: Wire) -> Episode | None:
        """Hears the process to its end."""
        result: dict[str, Any] | None = None
        # Its time begins with its first word: it may have to wait for imports.
        for word, content in wire:
            self.started = time.monotonic()
            if word == "progress":
                self._come_to(attempt, content)
            elif word == "result":
                result = content
            elif word == "exit":
                return self._end(attempt, result, content)
        attempt.fail(gone(), harness=True)
        return self._finish(attempt, self._make(attempt))

    def _come_to(self, attempt: Attempt, content: Mapping[str, Any]) -> None:
        self._course.attempts = content["attempts"]
        attempt.enter(content["part"])
        attempt.recorder.trajectory = Trajectory.from_json(content["trajectory"])

    def _end(
        self, attempt: Attempt, result: dict[str, Any] | None, end: Mapping[str, Any]
    ) -> Episode | None:
        """What the episode is, now that its process has ended."""
        if result is None:
            died = _death(attempt, end["code"], self._cpu_seconds)
            attempt.fail(died, harness=not isinstance(died, AgentError))
            episode, steps = self._make(attempt)
        else:
            self._learn(result)
            self._was_refused = result["refused"]
            self._course.attempts = result["attempts"]
            episode, steps = self._told(result), result["steps"]
        if isinstance(episode, Episode) and end["output"]:
            episode.output += without_secrets(end["output"])
        return self._finish(attempt, (episode, steps))

    def _told(self, result: Mapping[str, Any]) -> Episode | BaseException:
        if result["control"] is not None:
            return self._control_of(result["control"])
        episode = Episode.from_json(result["episode"])
        episode.trajectory.prompts = result["prompts"]
        return episode


def _death(attempt: Attempt, code: int, cpu_seconds: int) -> BaseException:
    """Why a process ended before its episode did, and whose fault that is."""
    how = f"its process ended with exit code {code}"
    if code == -signal.SIGXCPU:
        how = f"its process used more than {cpu_seconds} seconds of processor time"
    elif code < 0:
        how = f"its process was ended by {signal.Signals(-code).name}"
    call = _running(attempt)
    if call is not None:
        how += f" while {call.name} ran"
    if code == -signal.SIGKILL:
        # Not by us: its episode would be over, and nobody would hear of it.
        return HarnessError(f"{how}: was the memory of the machine used up?")
    if attempt.part != "body":
        return HarnessError(f"{how} in the {attempt.part}")
    return AgentError(how)


def _running(attempt: Attempt) -> ToolCall | None:
    """The tool that ran when its process ended, if any did."""
    calls = attempt.recorder.trajectory.tool_calls
    for call in reversed(calls):
        if call.executed and call.result is None and call.error is None:
            return call
    return None
