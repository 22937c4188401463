"""A scenario that fails is looked at once more, one episode at a time."""

from __future__ import annotations

import json
from collections import Counter

import pytest

# What one episode puts there, the one beside it reads. They meet before they read and
# before they go, so that of each two exactly one passes.
SHARED = """
    import asyncio
    import threading

    import pytest

    import agentgym

    BASKET = []
    SIDE_BY_SIDE = 24
    begun = []
    threads = threading.Barrier(2, timeout=60)
    waiting = []

    @agentgym.tool
    def put(item):
        begun.append(item)
        BASKET[:] = [item]

    @agentgym.tool
    def read(item):
        return "yours" if BASKET == [item] else "of others"

    async def tasks():
        waiting.append(asyncio.Event())
        mine = waiting[-1]
        if len(waiting) == 2:
            while waiting:
                waiting.pop().set()
        await mine.wait()

    @pytest.fixture
    def agent(case):
        def buy(message):
            put(item=case.id)
            if len(begun) > SIDE_BY_SIDE:
                return read(item=case.id)
            threads.wait()
            found = read(item=case.id)
            threads.wait()
            return found

        return agentgym.wrap(buy)

    @pytest.fixture
    def async_agent(case):
        async def buy(message):
            put(item=case.id)
            if len(begun) > SIDE_BY_SIDE:
                return read(item=case.id)
            await tasks()
            found = read(item=case.id)
            await tasks()
            return found

        return agentgym.wrap(buy)
"""
SYNC = """
    from agentgym import scenario

    @scenario(episodes=24)
    def test_basket(agent):
        assert agent.run("A lamp.").reply == "yours"
"""
ASYNC = """
    from agentgym import scenario

    @scenario(episodes=24)
    async def test_basket(async_agent):
        assert (await async_agent.run("A lamp.")).reply == "yours"
"""
FAILING = """
    from agentgym import scenario

    @scenario(episodes=24)
    def test_order(agent, case):
        assert agent.run("look_up=7").called("refund")
"""


def phases(gym) -> Counter[str | None]:
    lines = (gym.runs[-1] / "episodes.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["phase"] for line in lines)


@pytest.mark.parametrize("scenario", [SYNC, ASYNC])
def test_a_shared_world_is_suspected(gym, scenario):
    gym.conftest(SHARED)
    gym.file(scenario)
    result = gym.run("--agentgym-concurrency=2")
    assert result.ret == 1
    summary = gym.summary()
    (told,) = summary["warnings"]
    assert told.startswith(
        "test_basket: 12 of 24 episodes passed side by side, and 12 of 12 that had "
        "failed passed when they were played again one at a time: do the agent's tools "
    )
    assert "Give each episode its own" in " ".join(result.stdout.str().split())
    # They are kept, and are in no number.
    assert phases(gym) == {None: 24, "alone": 12}
    (found,) = summary["scenarios"]
    assert found["outcomes"]["passed"] == found["outcomes"]["failed"] == 12


def test_an_agent_that_fails_alone_too_is_asked_three_times_more(gym):
    gym.file(FAILING)
    result = gym.run()
    assert result.ret == 1
    assert gym.summary()["warnings"] == []
    assert phases(gym) == {None: 24, "alone": 3}


def test_who_plays_one_at_a_time_or_names_a_case_gets_no_more(gym):
    gym.file(FAILING)
    cases = [f"--agentgym-case=held_out-{number}" for number in range(12)]
    for arguments in (["--agentgym-concurrency=1"], cases):
        assert gym.run(*arguments).ret == 1
        assert set(phases(gym)) == {None}


def test_what_workers_play_alone_is_told_and_paid(gym):
    gym.conftest(SHARED)
    gym.file(SYNC)
    gym.file(SYNC.replace("test_basket", "test_other"), "test_two.py")
    result = gym.start("-n2", "--agentgym-concurrency=2", plugins=("xdist",))
    assert result.ret == 1
    told = gym.summary()["warnings"]
    assert len(told) == 2
    assert phases(gym) == {None: 48, "alone": 24}
