"""Episodes in flight: a known number of them, or as they come."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque

import pytest

from agentgym.errors import EpisodeStopped, InfraError
from agentgym.playing.in_flight import MOST, InFlight
from agentgym.playing.play import EpisodePlay
from agentgym.playing.pool import MOST_WAITING, EpisodePool, play_all
from agentgym.recording.blame import Outcome
from agentgym.recording.recorder import Recorder, current
from tests.played import BodyWorld, NoOutput, made_play


def play(body, **fields):
    return made_play(body, infra_retries=0, **fields)


def collect(pool, count):
    found = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline
        found += pool.collect()
    return found


def fail():
    raise ValueError("no such order")


class Most:
    """Counts how many are in a body at the same time.

    The first wait until there were so many together; only then does any leave.
    """

    def __init__(self, together=1):
        self.now = self.most = 0
        self.together = together
        self.met = threading.Event()
        self.lock = threading.Lock()

    def enter(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= self.together:
                self.met.set()

    def leave(self):
        with self.lock:
            self.now -= 1

    def body(self):
        self.enter()
        assert self.met.wait(60)
        time.sleep(0.05)
        self.leave()

    async def body_async(self):
        self.enter()
        while not self.met.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        self.leave()


def test_no_call_ends_after_its_episode():
    def slow_output():
        time.sleep(0.05)
        return NoOutput()

    def body():
        recorder = current()
        call = recorder.model_started()
        recorder.model_finished(call, message={"role": "assistant", "content": "hi"})
        fail()

    episode = play(body, make_output=slow_output).run()
    (call,) = episode.trajectory.model_calls
    end = episode.attempt_start + call.start + call.duration
    assert 0.05 < end <= episode.duration


def test_a_cancellation_that_nobody_asked_for_is_the_agents_failure():
    async def body():
        raise asyncio.CancelledError

    episode = asyncio.run(play(body).run_async())
    assert episode.outcome is Outcome.failed
    assert episode.error == "CancelledError"


def test_a_cancelled_episode_is_torn_down_and_does_not_count():
    undone = []

    class Stopped(BodyWorld):
        async def tear_down(self):
            undone.append(self)

    async def main():
        begun = asyncio.Event()

        async def body():
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(play(body, world=Stopped).run_async())
        await begun.wait()
        task.cancel()
        return await task

    assert asyncio.run(main()) is None
    assert len(undone) == 1


def test_a_world_that_waits_in_a_sync_scenario_is_the_harness_fault():
    class Waiting(BodyWorld):
        async def set_up(self):
            await asyncio.sleep(0)
            return self.body

    episode = play(print, world=Waiting).run()
    assert episode.outcome is Outcome.harness_error
    assert episode.error.startswith("HarnessError: the world of a sync scenario waits")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_known_number(asynchronous):
    most = Most(together=3)
    body = most.body_async if asynchronous else most.body
    finished = [
        one
        for batch in play_all(
            lambda index: play(body, index=index),
            7,
            in_flight=InFlight(limit=3, fixed=True),
            asynchronous=asynchronous,
        )
        for one in batch
    ]
    assert sorted(one.spec.index for one, _ in finished) == list(range(7))
    assert most.most == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_as_they_come(asynchronous):
    most, waiting = Most(together=2), deque()
    body = most.body_async if asynchronous else most.body
    pool = EpisodePool(
        lambda: waiting.popleft() if waiting else None,
        concurrency=2,
        asynchronous=asynchronous,
    )
    for _ in range(3):
        # Between the rounds all players have gone home.
        for _ in range(4):
            waiting.append(play(body))
            pool.start()
        assert len(collect(pool, 4)) == 4
    assert most.most == 2
    pool.stop()


def test_an_overdue_episode_makes_room():
    stuck = threading.Event()
    waiting = deque([play(lambda: stuck.wait(60), timeout=0.2), play(fail)])
    pool = EpisodePool(lambda: waiting.popleft() if waiting else None, concurrency=1)
    pool.start(2)
    first, second = collect(pool, 2)
    assert first[1].error.startswith("EpisodeTimeout")
    assert second[1].error == "ValueError: no such order"
    stuck.set()
    pool.stop()


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize(
    ("owner", "moment"), [(Recorder, "stop"), (EpisodePlay, "_make_apart")]
)
def test_an_overdue_agent_that_ends_as_it_is_stopped_counts(
    monkeypatch, owner, moment, swallows
):
    """Whatever its thread does while the watching one makes the episode."""
    begun, stopped, ended = threading.Event(), threading.Event(), threading.Event()
    step = getattr(owner, moment)

    def with_the_player_first(*args):
        made = step(*args) if moment == "stop" else None
        stopped.set()
        assert ended.wait(30)
        return made if moment == "stop" else step(*args)

    class Pool(EpisodePool):
        def _hand_over(self, *args):
            try:
                return super()._hand_over(*args)
            finally:
                ended.set()

    def body():
        begun.set()
        assert stopped.wait(30)
        try:
            current().model_started()
        except BaseException as exc:
            if swallows:
                raise ValueError("the agent's own") from exc
            raise

    monkeypatch.setattr(owner, moment, with_the_player_first)
    one = play(body, timeout=60)
    one.overdue = lambda now: begun.is_set()
    plays = deque([one])
    pool = Pool(lambda: plays.popleft() if plays else None, concurrency=1)
    pool.start()
    [(_, episode)] = collect(pool, 1)
    assert episode is not None
    assert (episode.outcome, episode.error.split(":")[0]) == (
        Outcome.failed,
        "EpisodeTimeout",
    )


def test_the_end_of_another_episode_is_not_this_ones():
    """As where one waits for a future that another one's thread was to fill."""
    other = Recorder()
    other.stop(EpisodeStopped("the agent did not stop within 1 s"))

    episode = play(other.model_started).run()
    assert episode.outcome is Outcome.harness_error
    assert episode.error.startswith("HarnessError: it ended with another episode, ")


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("when", ["refused", "go_on"])
def test_a_stopped_episode_is_not_tried_again(asynchronous, when, monkeypatch):
    monkeypatch.setattr("agentgym.playing.play.FIRST_BACKOFF_SECONDS", 0.01)
    begun = []

    def body():
        begun.append(1)
        raise InfraError("the server is down")

    async def async_body():
        body()

    def stop():
        one.abandon(EpisodeStopped("the run was stopped"))
        return False

    one = made_play(async_body if asynchronous else body)
    setattr(one.room, when, stop)
    played = asyncio.run(one.run_async()) if asynchronous else one.run()
    assert played is None
    assert len(begun) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_result_waits_for_no_place(asynchronous):
    """Or it would seem to be in flight: only who begins another one waits."""
    over = []

    def body():
        over.append(1)

    async def body_async():
        over.append(1)

    made = body_async if asynchronous else body
    pool = EpisodePool(lambda: play(made), concurrency=8, asynchronous=asynchronous)
    pool.start(8)
    seen, quiet = 0, 0
    # Many short looks: a process that gets no time for a while has none.
    while seen < MOST_WAITING or quiet < 20:
        time.sleep(0.05)
        quiet, seen = (quiet + 1 if seen == len(over) else 0), len(over)
    assert seen < MOST_WAITING + 8
    assert len(pool.collect()) >= seen
    pool.stop()


def test_a_blocked_event_loop_is_replaced():
    stuck = threading.Event()

    async def block():
        stuck.wait(60)

    async def work():
        fail()

    waiting = deque([play(block, timeout=0.2), play(work)])
    pool = EpisodePool(
        lambda: waiting.popleft() if waiting else None,
        concurrency=1,
        asynchronous=True,
    )
    pool.start(2)
    first, second = collect(pool, 2)
    assert first[1].error.startswith("EpisodeTimeout")
    assert second[1].error == "ValueError: no such order"
    stuck.set()
    pool.stop()


def test_what_makes_an_episode_may_fail():
    def take():
        raise OSError("no case")

    pool = EpisodePool(take, concurrency=2)
    pool.start()
    with pytest.raises(OSError, match="no case"):
        collect(pool, 1)
    pool.stop()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_is_in_flight_when_it_is_enough_is_played_to_its_end(asynchronous):
    most = 200
    finished = []

    async def pause():
        await asyncio.sleep(0.01)

    def enough():
        return len(finished) >= 20

    def make(index):
        return play(pause if asynchronous else lambda: time.sleep(0.01), index=index)

    for batch in play_all(
        make,
        most,
        in_flight=InFlight(limit=8, fixed=True),
        asynchronous=asynchronous,
        enough=enough,
    ):
        finished.extend(one.spec.index for one, _ in batch)
    assert 20 <= len(finished) < most
    assert sorted(finished) == list(range(len(finished)))


@pytest.mark.parametrize("where", ["between batches", "while it waits"])
def test_what_has_finished_is_given_before_it_is_interrupted(where, monkeypatch):
    """Ctrl-C comes when the consumer has not yet seen what is finished."""
    finished, looked, over = [], threading.Event(), threading.Event()

    def make(index):
        return play(over.wait if index >= 4 else lambda: None, index=index)

    def check():
        if where == "between batches" and looked.is_set():
            raise KeyboardInterrupt

    def interrupt(_):
        raise KeyboardInterrupt

    class Watched(EpisodePool):
        def collect(self):
            while self._done.qsize() < 4 or len(self._running) < 4:
                looked.wait(0.001)
            looked.set()
            if where == "between batches":
                return []
            # As it gathers more of them, the first is in no queue any more.
            with monkeypatch.context() as patched:
                patched.setattr("time.sleep", interrupt)
                return super().collect()

    def consume():
        for batch in batches:
            finished.extend(one.spec.index for one, _ in batch)

    monkeypatch.setattr("agentgym.playing.pool.EpisodePool", Watched)
    batches = play_all(make, 8, in_flight=InFlight(limit=4, fixed=True), check=check)
    with pytest.raises(KeyboardInterrupt):
        consume()
    over.set()
    assert sorted(finished) == [0, 1, 2, 3]


# How many are in flight.


class Clock:
    """Looks at an endpoint at made times; episodes wait, and take no processor."""

    def __init__(self, watch):
        self.watch, self.now, self.cpu = watch, 0.0, 0.0
        watch.begin(now=0.0, cpu=0.0)

    def look(self, seconds=0.6, busy=0.0, waiting=1000, in_flight=None, finished=()):
        self.now += seconds
        self.cpu += busy * seconds
        flying = self.watch.limit if in_flight is None else in_flight
        return self.watch.look(
            now=self.now,
            cpu=self.cpu,
            waiting=waiting,
            in_flight=flying,
            finished=finished,
        )


def test_more_are_in_flight_while_they_wait_and_nothing_is_refused():
    clock = Clock(InFlight(limit=16))
    # Not before the processor was watched for a while.
    assert clock.look(0.1) == 16
    assert [clock.look() for _ in range(8)] == [24, 36, 54, 81, 121, 181, MOST, MOST]
    assert Clock(InFlight(limit=1)).look() == 2


@pytest.mark.parametrize(
    "seen",
    [{"busy": 0.9}, {"waiting": 0}, {"in_flight": 15}],
    ids=["busy", "nobody waits", "room"],
)
def test_no_more_are_in_flight_where_that_pays_nothing(seen):
    clock = Clock(InFlight(limit=16))
    assert [clock.look(**seen) for _ in range(3)] == [16, 16, 16]
    # The next scenario is watched anew.
    assert clock.look() == 24


def test_what_does_not_pay_is_undone():
    """As where other processes take the processor: this one seems to wait."""
    clock = Clock(InFlight(limit=16))

    def slower():
        """Each episode takes as much longer as there are more of them."""
        return [clock.watch.limit / 100] * 50

    limits = [clock.look(finished=slower()) for _ in range(16)]
    assert limits == [24, 16, 16, 16, 24, *[16] * 7, 24, 16, 16, 16]
    # They take as long as before, however many finish at once.
    clock = Clock(InFlight(limit=16))
    paying = [clock.look(finished=[0.2] * most) for most in (50, 20, 90, 30)]
    assert paying == [24, 36, 54, 81]
    # A few that finish say nothing.
    clock = Clock(InFlight(limit=16))
    assert [clock.look(finished=[9.0 * n] * 3) for n in range(3)] == [24, 36, 54]


def test_refusals_halve_what_is_in_flight_and_it_grows_slowly_again():
    watch = InFlight(limit=80)
    clock = Clock(watch)
    for _ in range(50):
        watch.refused()
    assert clock.look(0.05) == 40
    # Those that were in flight before are refused a moment later.
    watch.refused()
    assert clock.look(1.0) == 40
    assert [clock.look() for _ in range(3)] == [44, 48, 52]
    watch.refused()
    assert clock.look() == 26
    for _ in range(9):
        watch.refused()
        clock.look(3.0)
    assert watch.limit == 1
    assert clock.look() == 2


def test_a_fixed_number_stays():
    watch = InFlight(limit=5, fixed=True)
    clock = Clock(watch)
    assert clock.look() == 5
    watch.refused()
    assert clock.look() == 5


@pytest.mark.parametrize("asynchronous", [False, True])
def test_waiting_episodes_let_more_begin(asynchronous):
    """Each waits until 20 are in flight, of which 4 begin at first."""
    watch, most = InFlight(limit=4), Most()
    enough = threading.Event()

    def enter():
        most.enter()
        if most.now >= 20:
            enough.set()

    def body():
        enter()
        assert enough.wait(60)
        fail()

    async def body_async():
        enter()
        while not enough.is_set():
            await asyncio.sleep(0.01)
        fail()

    batches = play_all(
        lambda index: play(body_async if asynchronous else body, index=index),
        40,
        in_flight=watch,
        asynchronous=asynchronous,
    )
    finished = [episode for batch in batches for _, episode in batch]
    assert len(finished) == 40
    assert {episode.error for episode in finished} == {"ValueError: no such order"}
    assert most.most >= 20
    assert 20 <= watch.limit <= MOST


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_refuses_more_than_five_at_a_time_gets_five(asynchronous):
    """No episode is lost: refused ones wait until it is their turn again."""
    watch, most = InFlight(limit=32), Most()
    refusals = []

    def serve():
        with most.lock:
            full = most.now >= 5
        if full:
            refusals.append(watch.limit)
            raise InfraError("429: too many requests")

    def body():
        serve()
        most.body()
        fail()

    async def body_async():
        serve()
        await most.body_async()
        fail()

    batches = play_all(
        lambda index: made_play(
            body_async if asynchronous else body, index=index, infra_retries=20
        ),
        60,
        in_flight=watch,
        asynchronous=asynchronous,
    )
    finished = [episode for batch in batches for _, episode in batch]
    assert {episode.error for episode in finished} == {"ValueError: no such order"}
    assert len(finished) == 60
    assert refusals[0] == 32
    assert min(refusals[-1], watch.limit) < 32


def test_the_threads_that_there_are_must_do(monkeypatch):
    begin = threading.Thread.start
    begun = []

    def few(thread):
        if len(begun) == 3:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    watch = InFlight(limit=8)
    stay = Most().body
    batches = play_all(lambda index: play(stay, index=index), 20, in_flight=watch)
    assert sum(map(len, batches)) == 20
    assert (watch.limit, watch.fixed) == (3, True)
