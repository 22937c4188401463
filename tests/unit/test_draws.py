"""What a rollout draws is its own, whoever else asks, and whenever."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agentgym.policy.engine import draws
from agentgym.policy.engine.draws import Draws
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.server.wire import call_id
from tests.tiny_policy import make_tiny

REQUESTS = [(f"r{i % 5}", (7, 8, i % 3)) for i in range(60)]


def drawn(requests: list[tuple[str, tuple[int, ...]]]) -> list[bytes]:
    named = Draws()
    return [named.next(rollout, prompt) for rollout, prompt in requests]


def test_the_order_in_which_rollouts_ask_changes_nothing():
    shuffled = list(REQUESTS)
    random.Random(1).shuffle(shuffled)
    first = sorted(zip(REQUESTS, drawn(REQUESTS), strict=True))
    second = sorted(zip(shuffled, drawn(shuffled), strict=True))
    assert first == second


def test_each_reply_is_another_draw():
    assert len(set(drawn(REQUESTS))) == len(REQUESTS)


def test_a_rollouts_id_and_its_count_do_not_run_together():
    assert drawn([("1 r", (7,))]) != drawn([("r", (7,))] * 2)[1:]


def test_those_that_were_silent_the_longest_are_forgotten(monkeypatch):
    monkeypatch.setattr(draws, "MOST_ROLLOUTS", 2)
    asked = [("a", (7,)), ("b", (7,)), ("a", (7,)), ("c", (7,)), ("a", (7,))]
    first, b, second, _, third = drawn(asked)
    assert len({first, second, third}) == 3
    again = drawn([*asked, ("b", (7,))])
    assert again[-1] == b


def test_ids_of_calls_are_drawn_with_the_reply():
    draw = drawn(REQUESTS[:1])[0]
    ids = [call_id(draw, number) for number in (0, 1)]
    assert ids == [call_id(draw, number) for number in (0, 1)]
    assert len({*ids, call_id(None, 0), call_id(None, 0)}) == 4
    assert all(len(one) == 29 and one.startswith("call_") for one in ids)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def sampled(folder: Path, draw: bytes | None, seed: int | None = None) -> list[int]:
    engine = Engine(load(folder))
    done: list[Generation] = []
    params = SamplingParams(max_tokens=12, ignore_eos=True, seed=seed)
    try:
        engine.submit(Generation([5, 6, 7], params, draw=draw, on_done=done.append))
        engine.generate([5, 6], params)
    finally:
        engine.close()
    return done[0].token_ids


def test_the_engine_samples_by_the_draw_unless_a_seed_is_asked_for(tiny):
    one, other = drawn(REQUESTS[:2])
    assert sampled(tiny, one) == sampled(tiny, one)
    assert sampled(tiny, one) != sampled(tiny, other)
    assert sampled(tiny, one, seed=3) == sampled(tiny, other, seed=3)
    assert sampled(tiny, None) != sampled(tiny, None)
