"""Plays one episode: world, body, checks, reward, outcome."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from agentgym.errors import EpisodeStopped, HarnessError, UsageError
from agentgym.playing.attempt import Attempt, Part
from agentgym.playing.episode import Episode
from agentgym.playing.keeping import Course, apart, keep, lost
from agentgym.playing.spec import EpisodeSpec, Limits
from agentgym.playing.stage import Stage
from agentgym.playing.time_out import time_out
from agentgym.playing.unawaited import check_awaited
from agentgym.recording.blame import Outcome
from agentgym.recording.plain import (
    ForeignValue,
    Show,
    name_only,
    printed,
    refuse,
)
from agentgym.recording.recorder import Recorder
from agentgym.scenarios.check_log import CheckLog

FIRST_BACKOFF_SECONDS = 0.5
TURN_SECONDS = 0.1
"""How often a retry asks whether it is its turn."""


class RetryRoom:
    """Where retries wait: here they need not.

    A pool whose limit has shrunk lets them wait until others have ended.
    """

    def refused(self) -> None:
        """The infrastructure ended an attempt, and there will be another one."""

    def go_on(self) -> bool:
        """Whether the next attempt may begin."""
        return True


KEEP_SECONDS = 2.0
"""How long the values of an episode that is abandoned may take to be shown."""

T = TypeVar("T")

_Made = tuple[Episode | BaseException, list[float] | None]
"""What came of an episode, and the reward of each step."""


class EpisodePlay:
    """One episode: `run()` plays it, `abandon()` ends it from another thread.

    Whoever comes first makes the episode; of the other nothing is taken.

    Args:
        spec: What is played.
        stage: Where: makes world, output and simulation of each attempt.
        limits: What it may use up.
        control: Exceptions that steer the runner, beside a usage error and Ctrl-C.
        keep_exceptions: Whether to keep the first failed check's, for a debugger.
        follow: Called, in the playing threads, whenever an attempt has come further:
            when a part of it begins, a model has answered, or a tool begins.

    Attributes:
        spec: What is played.
        control: An exception that steers the runner (a skip, an exit, a usage error)
            and is no result of the agent; the caller raises it again.
        first_failure: The first failed check's exception, kept for a debugger.
        room: Where its retries wait.
        started: Monotonic time at which the current part of the current attempt began
            (set-up, body, tear-down), or None.
        steps: Reward of each step, if the scenario has a `broadcast_rewards` of its
            own.
    """

    def __init__(
        self,
        spec: EpisodeSpec,
        stage: Stage,
        limits: Limits,
        *,
        control: tuple[type[BaseException], ...] = (),
        keep_exceptions: bool = False,
        follow: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.spec = spec
        self.limits = limits
        self.control: BaseException | None = None
        self.first_failure: BaseException | None = None
        self.room = RetryRoom()
        self.started: float | None = None
        self.steps: list[float] | None = None
        self._stage = stage
        self._control_types = (*control, UsageError)
        self._keep_exceptions = keep_exceptions
        self._follow = follow
        self._course = Course()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._episode: Episode | None = None
        self._attempt: Attempt | None = None
        # Seconds that judge and simulated users took before the current part.
        self._simulated = 0.0

    @property
    def attempts(self) -> int:
        """Attempts so far."""
        return self._course.attempts

    @property
    def id(self) -> str:
        """The episode's id."""
        return self.spec.id

    def run(self) -> Episode | None:
        """Plays a sync scenario's episode in this thread.

        Returns:
            The episode, or None when it was abandoned or `control` says why not.
        """
        while True:
            attempt = self._begin()
            try:
                _run_without_loop(self._play(attempt, asynchronous=False))
            except BaseException as exc:  # noqa: BLE001 - the thread's last resort
                attempt.fail(exc, harness=True)
            self._enter(attempt, "over")
            if not self._retry(attempt):
                return self._finish(attempt, self._make(attempt))
            self.room.refused()
            self._stop.wait(self._backoff())
            while not self.room.go_on() and not self._stop.is_set():
                self._stop.wait(TURN_SECONDS)
            if self._stop.is_set():
                return None

    async def run_async(self) -> Episode | None:
        """Plays an async scenario's episode in the running event loop.

        Returns:
            As `run` does; here the time limit is kept without `abandon`.
        """
        while True:
            attempt = self._begin()
            try:
                await self._play(attempt, asynchronous=True)
            except asyncio.CancelledError:
                return None
            except BaseException as exc:  # noqa: BLE001 - the task's last resort
                attempt.fail(exc, harness=True)
            self._enter(attempt, "over")
            if not self._retry(attempt):
                return self._finish(attempt, await self._make_async(attempt))
            self.room.refused()
            await asyncio.sleep(self._backoff())
            while not self.room.go_on() and not self._stop.is_set():
                await asyncio.sleep(TURN_SECONDS)
            if self._stop.is_set():
                return None

    @property
    def refused(self) -> bool:
        """Whether a model's server refused something in its last attempt."""
        attempt = self._attempt
        return attempt is not None and attempt.recorder.refused_calls > 0

    def overdue(self, now: float) -> bool:
        """Whether the attempt's current part has used up its time (monotonic `now`)."""
        limit, started = self.limits.timeout, self.started
        return limit is not None and started is not None and now - started > limit

    def abandon(self, reason: BaseException | None = None) -> Episode | None:
        """Ends the episode from outside; its thread stops at its next call.

        Args:
            reason: Why; by default that the time is used up.

        Returns:
            The episode as far as it went, or as it had just finished; None if it was
            stopped before it counts (a `reason` that is `EpisodeStopped`) or if
            `control` says why not.
        """
        with self._lock:
            # From now on it is not for its own thread to say what the episode was:
            # that is about to be told to stop, and what it makes of that says nothing.
            self._stop.set()
        attempt = self._attempt
        if attempt is None or self._episode is not None or self.control is not None:
            return self._episode
        # Asked once: its thread goes on, and sooner than expected once it is stopped.
        part = attempt.part
        if reason is None and part != "over":
            reason = self._timed_out(attempt, part)
            if part == "tear-down":
                # Its body has ended: what that came to is changed by no tear-down.
                attempt.fail(reason, harness=True)
        attempt.recorder.stop(EpisodeStopped(str(reason or "the episode is over")))
        if isinstance(reason, EpisodeStopped):
            return None
        if part in ("tear-down", "over"):
            reason = None
        return self._settle(attempt, self._make_apart(attempt, reason), reason)

    async def _play(self, attempt: Attempt, *, asynchronous: bool) -> None:
        """The way of one attempt, of sync and of async scenarios.

        Nothing but a cancellation leaves it, and that only in an event loop.
        """
        world = attempt.world = self._stage.make_world()
        within = self._within if asynchronous else _at_once
        with (
            attempt.output.activate(),
            attempt.recorder.activate(),
            attempt.log.activate(),
            attempt.simulation.activate(),
        ):
            try:
                body = await within(attempt, world.set_up())
            except BaseException as exc:  # noqa: BLE001
                attempt.catch(exc, harness=True)
            else:
                attempt.scenario = world.scenario
                self._enter(attempt, "body")
                try:
                    result = body()
                    if asynchronous:
                        await within(attempt, result)
                    check_awaited(attempt.recorder.promised)
                    attempt.finished = True
                except BaseException as exc:  # noqa: BLE001
                    attempt.catch(exc)
            finally:
                attempt.freeze()
                self._enter(attempt, "tear-down")
                try:
                    await within(attempt, world.tear_down())
                except BaseException as exc:  # noqa: BLE001
                    attempt.catch(exc, harness=True)

    async def _within(self, attempt: Attempt, part: Awaitable[T]) -> T:
        """Awaits a part of the attempt for as long as it may take."""
        try:
            async with asyncio.timeout(self.limits.timeout) as clock:
                result = await part
        except TimeoutError:
            if not clock.expired():
                raise
        if clock.expired():
            # Also if the part swallowed the cancellation, and ended later.
            reason = self._timed_out(attempt, attempt.part)
            attempt.fail(reason, harness=attempt.part != "body")
            raise EpisodeStopped(str(reason))
        return result

    def _enter(self, attempt: Attempt, part: Part) -> None:
        """A part begins: it has the whole time limit, whatever those before took."""
        attempt.enter(part)
        self._simulated = attempt.simulation.waited()
        self.started = time.monotonic()
        if self._follow is not None:
            self._follow(attempt)

    def _timed_out(self, attempt: Attempt, part: Part) -> BaseException:
        simulated = attempt.simulation.waited() - self._simulated
        return time_out(attempt, part, self.limits.timeout or 0.0, simulated)

    def _begin(self) -> Attempt:
        self._course.attempts += 1
        simulation = self._stage.make_simulation()
        if self._attempt is not None:
            simulation.go_on_from(self._attempt.simulation)
        attempt = Attempt(
            Recorder(self.limits.max_tool_calls, state_check=self.limits.state_check),
            CheckLog(keep_exceptions=self._keep_exceptions),
            self._stage.make_output(),
            simulation,
        )
        if self._follow is not None:
            attempt.recorder.noticed = partial(self._follow, attempt)
        self._attempt = attempt
        self._simulated = 0.0
        self.started = time.monotonic()
        return attempt

    def _retry(self, attempt: Attempt) -> bool:
        again = (
            attempt.outcome() is Outcome.infra_error
            and self.attempts <= self.limits.infra_retries
            and not self._stop.is_set()
        )
        if again:
            self._course.discard(attempt.recorder.trajectory)
        return again

    def _backoff(self) -> float:
        # Full jitter keeps the retries of many episodes from arriving together.
        self.started = None
        longest: float = FIRST_BACKOFF_SECONDS * 2**self.attempts
        return random.uniform(0.5, 1) * longest  # noqa: S311

    def _make(
        self,
        attempt: Attempt,
        reason: BaseException | None = None,
        show: Show = printed,
    ) -> _Made:
        """What came of the episode; it runs code of the user's values.

        Args:
            attempt: Its last one.
            reason: Why it was ended from outside.
            show: Makes text of values.

        Returns:
            An exception in place of the episode if that steers the runner.
        """
        error = reason if reason is not None else attempt.error
        if error is not None and self._steers(error):
            return error, None
        try:
            return keep(self.spec, self._course, attempt, reason, show)
        except ForeignValue:
            raise
        except BaseException as exc:  # noqa: BLE001 - the others are played on
            if self._steers(exc):
                return exc, None
            return lost(self.spec, self._course, exc), None

    async def _make_async(self, attempt: Attempt) -> _Made:
        """The same where nothing may hold up the event loop."""
        # An error's text is made by its own code, too.
        if attempt.error is None:
            with contextlib.suppress(ForeignValue):
                return self._make(attempt, show=refuse)
        return await asyncio.wrap_future(apart(partial(self._make, attempt)))

    def _make_apart(self, attempt: Attempt, reason: BaseException | None) -> _Made:
        """The same where nobody may be held up: for an attempt that may be stuck."""
        for show in (printed, name_only):
            making = apart(partial(self._make, attempt, reason, show))
            with contextlib.suppress(TimeoutError):
                return making.result(KEEP_SECONDS)
        slow = TimeoutError("the values of the agent, or its rewards, do not end")
        return lost(self.spec, self._course, slow), None

    def _finish(self, attempt: Attempt, made: _Made) -> Episode | None:
        """Its own thread, or task, is through with it; None if it was abandoned."""
        with self._lock:
            return None if self._stop.is_set() else self._settle(attempt, made)

    def _settle(
        self, attempt: Attempt, made: _Made, reason: BaseException | None = None
    ) -> Episode | None:
        """Decides what the episode is; only one thread does."""
        episode, self.steps = made
        if not isinstance(episode, Episode):
            self.control = episode
            return None
        error = reason if reason is not None else attempt.error
        self.first_failure = error or attempt.log.first_exception
        self._episode = episode
        return episode

    def _steers(self, error: BaseException) -> bool:
        """Whether it is no result, but steers the runner."""
        if isinstance(error, KeyboardInterrupt):
            # Only the main thread gets the user's own; elsewhere an agent raised it.
            return threading.current_thread() is threading.main_thread()
        return isinstance(error, self._control_types)


async def _at_once(_: Attempt, part: Awaitable[T]) -> T:
    """The same in a sync scenario, which the pool watches from another thread."""
    return await part


def _run_without_loop(play: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never waits, as that of a sync scenario, to its end."""
    try:
        play.send(None)
    except StopIteration:
        return
    play.close()
    raise HarnessError("the world of a sync scenario waits for an event loop")
