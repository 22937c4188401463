"""Many episodes in flight: threads for sync scenarios, an event loop for async ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from agentgym.episode import Episode
from agentgym.errors import EpisodeStopped
from agentgym.play import EpisodePlay

TICK_SECONDS = 0.05
GATHER_SECONDS = 0.01

Finished = tuple[EpisodePlay, Episode | None]


def default_concurrency() -> int:
    """Episodes in flight by default: they wait for a model most of the time."""
    return min(32, 8 * (os.cpu_count() or 1))


class EpisodePool:
    """Plays episodes and yields them as they finish.

    The consumer's thread watches the time limits; an episode that is overdue is
    abandoned, and its daemon thread (Python cannot kill one) is replaced.

    Attributes:
        in_flight: Episodes being played now.
    """

    def __init__(
        self,
        make_play: Callable[[int], EpisodePlay],
        count: int,
        *,
        concurrency: int,
        asynchronous: bool = False,
    ) -> None:
        self._make_play = make_play
        self._count = count
        self._concurrency = min(concurrency, count)
        self._asynchronous = asynchronous
        self._loop: asyncio.AbstractEventLoop | None = None
        # Bounded: episodes that nobody takes would fill the memory.
        self._done: Queue[Finished] = Queue(maxsize=max(self._concurrency, 64))
        self._running: dict[int, EpisodePlay] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._stopped = False
        self._error: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Episodes being played now."""
        return len(self._running)

    def __iter__(self) -> Iterator[list[Finished]]:
        """Yields, in batches, what finished since the last time, until all are done.

        An empty batch comes at every tick in which nothing finished.
        """
        left = self._count
        for _ in range(1 if self._asynchronous else self._concurrency):
            self._start_thread()
        try:
            while left:
                batch = self._collect()
                left -= len(batch)
                yield batch
        finally:
            self.stop()

    def stop(self) -> None:
        """Starts no further episode and abandons those in flight."""
        self._stopped = True
        for play in list(self._running.values()):
            play.abandon(EpisodeStopped("the run was stopped"))
        # Threads that wait for a place in the queue can end.
        with contextlib.suppress(Empty):
            while True:
                self._done.get_nowait()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel_tasks)

    def _collect(self) -> list[Finished]:
        batch: list[Finished] = []
        try:
            batch.append(self._done.get(timeout=TICK_SECONDS))
            if self._running:
                # Short episodes are cheaper to report together.
                time.sleep(GATHER_SECONDS)
            while True:
                batch.append(self._done.get_nowait())
        except Empty:
            pass
        if self._error is not None:
            raise self._error
        # An event loop enforces its own time limits, unless something blocks it.
        now = time.monotonic() - (1.0 if self._asynchronous else 0.0)
        for play in [p for p in list(self._running.values()) if p.overdue(now)]:
            episode = play.abandon()
            if episode is None:
                continue
            with self._lock:
                self._running.pop(play.index, None)
            batch.append((play, episode))
            if not self._asynchronous:
                self._start_thread()
        return batch

    def _start_thread(self) -> None:
        work = self._work_all_async if self._asynchronous else self._work
        threading.Thread(target=work, name="agentgym-episodes", daemon=True).start()

    def _take(self) -> EpisodePlay | None:
        with self._lock:
            if self._stopped or self._next >= self._count:
                return None
            try:
                play = self._make_play(self._next)
            except BaseException as exc:  # noqa: BLE001 - raised again by `_collect`
                self._stopped, self._error = True, exc
                return None
            self._running[self._next] = play
            self._next += 1
            return play

    def _work(self) -> None:
        while (play := self._take()) is not None:
            if not self._hand_over(play, play.run()):
                return

    def _work_all_async(self) -> None:
        async def work() -> None:
            while (play := self._take()) is not None:
                self._hand_over(play, await play.run_async())

        async def work_all() -> None:
            self._loop = asyncio.get_running_loop()
            await asyncio.gather(*(work() for _ in range(self._concurrency)))

        # `stop` cancels all tasks.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(work_all())

    def _cancel_tasks(self) -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    def _hand_over(self, play: EpisodePlay, episode: Episode | None) -> bool:
        """Gives a result to the consumer; False when the play was abandoned."""
        with self._lock:
            mine = self._running.pop(play.index, None) is play
        if mine:
            self._done.put((play, episode))
        return mine
