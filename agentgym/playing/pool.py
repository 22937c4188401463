"""Many episodes in flight: threads for sync scenarios, an event loop for async ones."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue, SimpleQueue
from typing import Protocol

from agentgym.errors import EpisodeStopped
from agentgym.playing.episode import Episode
from agentgym.playing.in_flight import InFlight
from agentgym.playing.play import EpisodePlay, RetryRoom
from agentgym.playing.spec import EpisodeSpec
from agentgym.recording.blame import Outcome
from agentgym.recording.event_loop import new_loop

TICK_SECONDS = 0.05
GATHER_SECONDS = 0.01
MOST_WAITING = 64
"""Results that wait for the consumer."""


class PlayedEpisode(Protocol):
    """What was played; an `EpisodePlay`, or somebody else's."""

    @property
    def spec(self) -> EpisodeSpec:
        """What it is."""

    @property
    def control(self) -> BaseException | None:
        """See `EpisodePlay`."""

    @property
    def first_failure(self) -> BaseException | None:
        """See `EpisodePlay`."""


Finished = tuple[EpisodePlay, Episode | None]
Ended = tuple[PlayedEpisode, Episode | None]


def play_all(
    make_play: Callable[[int], EpisodePlay],
    count: int,
    *,
    in_flight: InFlight,
    asynchronous: bool = False,
    enough: Callable[[], bool] = lambda: False,
    check: Callable[[], None] = lambda: None,
) -> Iterator[list[Finished]]:
    """Plays episodes and yields them, in batches, as they finish.

    An empty batch comes at every tick in which nothing finished.

    Args:
        make_play: The episode at an index.
        count: The most episodes.
        in_flight: How many episodes are in flight.
        asynchronous: Whether they are async scenarios.
        enough: Asked between batches: whether to begin no further episode. Those in
            flight are played to their end, or the quick ones would count for more.
        check: Called between batches; what it raises ends it, and so does a Ctrl-C.
            What has finished by then is yielded before, as it is paid.
    """
    begun = 0
    most = count
    lock = threading.Lock()

    def take() -> EpisodePlay | None:
        nonlocal begun
        with lock:
            if begun >= most:
                return None
            begun += 1
            return make_play(begun - 1)

    pool = EpisodePool(
        take, concurrency=in_flight.limit, asynchronous=asynchronous, watch=in_flight
    )
    in_flight.begin(now=time.monotonic(), cpu=time.process_time())
    pool.start(count)
    finished = 0
    try:
        while finished < most:
            try:
                check()
                batch = pool.collect()
            except BaseException:
                yield pool.finished()
                raise
            finished += len(batch)
            took = [episode.duration for _, episode in batch if episode is not None]
            pool.resize(most - begun, begun - finished, took)
            yield batch
            if most == count and enough():
                with lock:
                    most = begun
    finally:
        pool.stop()


class EpisodePool(RetryRoom):
    """Plays the episodes that `take` gives; `collect` says which have finished.

    The consumer's thread watches the time limits; an episode that is overdue is
    abandoned, and its daemon thread (Python cannot kill one) is replaced.

    Args:
        take: The next episode, or None when there is none (then call `start` when
            there is one). It is called in the playing threads, one at a time.
        concurrency: The most episodes in flight.
        asynchronous: Whether they are async scenarios.
        watch: Decides how many are in flight; by default it is always the same number.
    """

    def __init__(
        self,
        take: Callable[[], EpisodePlay | None],
        *,
        concurrency: int,
        asynchronous: bool = False,
        watch: InFlight | None = None,
    ) -> None:
        self._watch = watch
        self._take_next = take
        self._concurrency = concurrency
        self._asynchronous = asynchronous
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._done: SimpleQueue[Finished] = SimpleQueue()
        self._running: dict[str, EpisodePlay] = {}
        self._lock = threading.Lock()
        # Threads or tasks that take episodes.
        self._players = 0
        # Those whose episode waits for the next attempt at it.
        self._resting = 0
        self._stopped = False
        self._error: BaseException | None = None

    def start(self, episodes: int = 1) -> None:
        """Says that `take` has this many episodes more."""
        with self._lock:
            more = max(0, min(episodes, self._concurrency - self._players))
            self._players += more
        for begun in range(more):
            try:
                self._start_player()
            except RuntimeError:
                # The system gives no more threads: those that there are must do.
                with self._lock:
                    self._players -= more - begun
                if self._watch is None or not self._players:
                    raise
                self._watch.stay_at(self._players)
                return

    def resize(self, waiting: int, in_flight: int, finished: Sequence[float]) -> None:
        """Lets more episodes be in flight, or fewer.

        Args:
            waiting: Episodes that have not begun.
            in_flight: Those that have, and have not finished.
            finished: Seconds of those that have finished since the last time.
        """
        if self._watch is None:
            return
        before = self._concurrency
        self._concurrency = self._watch.look(
            now=time.monotonic(),
            cpu=time.process_time(),
            waiting=waiting,
            in_flight=in_flight,
            finished=finished,
        )
        # Not at every look: the players hold the lock most of the time.
        if waiting and self._concurrency > before and not self._stopped:
            self.start(waiting)

    def refused(self) -> None:
        """See `RetryRoom`."""
        with self._lock:
            self._resting += 1
        if self._watch is not None:
            self._watch.refused()

    def go_on(self) -> bool:
        """See `RetryRoom`."""
        with self._lock:
            free = self._players - self._resting < self._concurrency
            self._resting -= free
            return free

    def collect(self) -> list[Finished]:
        """What finished since the last time; waits a tick for the first.

        Raises:
            BaseException: What `take` raised.
        """
        batch: list[Finished] = []
        try:
            batch.append(self._done.get(timeout=TICK_SECONDS))
            if self._running:
                # Short episodes are cheaper to report together.
                time.sleep(GATHER_SECONDS)
            # No more than there are: quick episodes come as fast as they are taken,
            # and whoever looks whether they are enough would see them all at once.
            waiting = self._done.qsize()
            batch.extend(self._done.get_nowait() for _ in range(waiting))
        except Empty:
            pass
        except BaseException:
            for each in batch:
                self._done.put(each)
            raise
        if self._error is not None:
            raise self._error
        # An event loop enforces its own time limits, unless something blocks it.
        now = time.monotonic() - (1.0 if self._asynchronous else 0.0)
        for play in [p for p in list(self._running.values()) if p.overdue(now)]:
            with self._lock:
                if self._running.pop(play.id, None) is not play:
                    # It has just finished: its player hands it over.
                    continue
            # From here on the player hands over nothing, whichever of us is first.
            episode = play.abandon()
            self._notice(play, episode)
            # Also one whose result cannot be made: its player may be stuck for good.
            batch.append((play, episode))
            if self._asynchronous:
                self._start_loop()
            self._start_player()
        return batch

    def finished(self) -> list[Finished]:
        """What has finished, without waiting for anything."""
        batch: list[Finished] = []
        with contextlib.suppress(Empty):
            while True:
                batch.append(self._done.get_nowait())
        return batch

    def stop(self) -> None:
        """Starts no further episode and abandons those in flight."""
        self._stopped = True
        for play in list(self._running.values()):
            play.abandon(EpisodeStopped("the run was stopped"))
        for loop in self._loops:
            with contextlib.suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(_cancel_tasks)

    def _start_player(self) -> None:
        if not self._asynchronous:
            threading.Thread(
                target=self._play, name="agentgym-episodes", daemon=True
            ).start()
            return
        if not self._loops:
            self._start_loop()
        loop = self._loops[-1]
        asyncio.run_coroutine_threadsafe(self._play_async(), loop)

    def _start_loop(self) -> None:
        """Starts an event loop in a thread; the one before, if any, is blocked."""
        begun: Queue[asyncio.AbstractEventLoop] = Queue()

        async def run() -> None:
            begun.put(asyncio.get_running_loop())
            await asyncio.Event().wait()

        def work(loop: asyncio.AbstractEventLoop) -> None:
            # `stop` cancels all tasks.
            with (
                contextlib.suppress(asyncio.CancelledError),
                asyncio.Runner(loop_factory=lambda: loop) as runner,
            ):
                runner.run(run())

        # Made here: what a thread raises, nobody would hear of.
        threading.Thread(
            target=work, args=(new_loop(),), name="agentgym-episodes", daemon=True
        ).start()
        self._loops.append(begun.get())

    def _take(self) -> EpisodePlay | None:
        with self._lock:
            if self._stopped:
                return None
            if self._players > self._concurrency:
                # Fewer may be in flight now.
                self._players -= 1
                return None
            try:
                play = self._take_next()
            except BaseException as exc:  # noqa: BLE001 - raised again by `collect`
                self._stopped, self._error = True, exc
                return None
            if play is None:
                self._players -= 1
            else:
                play.room = self
                self._running[play.id] = play
            return play

    def _play(self) -> None:
        while (play := self._take()) is not None:
            if not self._hand_over(play, play.run()):
                return
            while self._is_full():
                time.sleep(GATHER_SECONDS)

    async def _play_async(self) -> None:
        while (play := self._take()) is not None:
            if not self._hand_over(play, await play.run_async()):
                return
            while self._is_full():
                await asyncio.sleep(GATHER_SECONDS)

    def _is_full(self) -> bool:
        """Whether so many results wait for the consumer that no episode may begin.

        They would fill the memory. Who has a result never waits: it would seem to be
        in flight for as long as others are quicker to take the place.
        """
        return self._done.qsize() >= MOST_WAITING and not self._stopped

    def _hand_over(self, play: EpisodePlay, episode: Episode | None) -> bool:
        """Gives a result to the consumer; False when the play was abandoned."""
        with self._lock:
            mine = self._running.pop(play.id, None) is play
        if mine:
            self._notice(play, episode)
            self._done.put((play, episode))
        return mine

    def _notice(self, play: EpisodePlay, episode: Episode | None) -> None:
        """Has the watch know what the model's server refused."""
        lost = episode is not None and episode.outcome is Outcome.infra_error
        if self._watch is not None and (lost or play.refused):
            self._watch.refused()


def _cancel_tasks() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
