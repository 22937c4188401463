"""What must hold for any rewards, rows and outcomes in a training."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.policy.engine.sequence import common_prefix
from agentgym.reliability import paired_difference
from agentgym.scenarios.components import COMPONENTS, Component
from agentgym.training.batch.advantage import advantages, varies
from agentgym.training.batch.batch import Sample, informative, make_batch, targets
from agentgym.training.batch.curriculum import FLOOR, Curriculum, Drawn
from agentgym.training.batch.rows import merge
from agentgym.training.job.case_split import (
    held_out_tasks,
    training_cases,
    validation_tasks,
)
from agentgym.training.job.task import ScenarioInfo
from agentgym.training.step.bundles import Bundle, bundle, chunks

# On a loaded machine any example may take long.
unhurried = settings(deadline=None)

rewards = st.lists(st.floats(0, 1), min_size=1, max_size=16)
kinds = st.sampled_from(["mean", "std", "rloo"])
every_kind = kinds | st.just("optimal")


@unhurried
@given(rewards, every_kind)
def test_advantages_of_a_group_cancel_and_keep_its_order(group, kind):
    found = advantages(group, kind)
    assert len(found) == len(group)
    assert math.isclose(math.fsum(found), 0, abs_tol=1e-9 * sum(map(abs, found)) + 1e-9)
    for (r, a), (other, b) in itertools.combinations(zip(group, found, strict=True), 2):
        if r > other and varies(group):
            assert a > b or math.isclose(a, b, abs_tol=1e-9)
    if not varies(group):
        assert found == [0.0] * len(group)


@unhurried
@given(rewards, every_kind, st.floats(-10, 10), st.permutations(range(16)))
def test_advantages_do_not_depend_on_the_level_or_the_order(group, kind, more, order):
    found = advantages(group, kind)
    moved = advantages([r + more for r in group], kind)
    if varies(group) and varies([r + more for r in group]):
        assert moved == pytest.approx(found, rel=1e-6, abs=1e-9)
    order = [i for i in order if i < len(group)]
    turned = advantages([group[i] for i in order], kind)
    assert turned == pytest.approx([found[i] for i in order], rel=1e-9, abs=1e-12)


@unhurried
@given(rewards)
def test_how_the_kinds_of_advantages_are_related(group):
    mean, std, rloo = (advantages(group, kind) for kind in ("mean", "std", "rloo"))
    size = len(group)
    if not varies(group):
        return
    # Each less the mean of the others.
    for own, r in zip(rloo, group, strict=True):
        others = (math.fsum(group) - r) / (size - 1)
        assert own == pytest.approx(r - others, abs=1e-9)
    assert rloo == pytest.approx([a * size / (size - 1) for a in mean])
    scale = math.sqrt(math.fsum(a * a for a in mean) / size)
    assert std == pytest.approx([a / (scale + 1e-6) for a in mean])
    assert math.fsum(a * a for a in std) <= size + 1e-9


@unhurried
@given(rewards, st.lists(st.floats(0, 10), min_size=16, max_size=16))
def test_the_best_baseline_weighs_episodes_by_their_gradients(group, lengths):
    lengths = lengths[: len(group)]
    found = advantages(group, "optimal", lengths)
    weights = [length + 1e-6 for length in lengths]
    weighed = math.fsum(w * a for w, a in zip(weights, found, strict=True))
    assert weighed == pytest.approx(0, abs=1e-6 * (1 + sum(map(abs, found))) * 16)
    # It is the deviations of "std" around another mean.
    std = advantages(group, "std")
    moved = [a - b for a, b in zip(found, std, strict=True)]
    assert moved == pytest.approx([moved[0]] * len(moved), abs=1e-6)


@dataclass
class Call:
    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]


def component_of(token: int) -> Component:
    return COMPONENTS[token % 3]


def components(_: Sequence[int], ids: Sequence[int]) -> list[Component]:
    return [component_of(token) for token in ids]


def logprob_of(call: int, place: int) -> float:
    return -(100 * call + place) / 7


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=4)


@st.composite
def conversations(draw):
    """Calls of conversations that take turns, some of which lose their beginning.

    Returns:
        The calls and, for each of them, which conversation it is of and whether its
        prompt goes on with that one.
    """
    calls: list[Call] = []
    spoken: dict[int, list[int]] = {}
    origins: list[tuple[int, bool]] = []
    for number in range(draw(st.integers(1, 8))):
        who = draw(st.integers(0, 2))
        # Token 10 + who begins each conversation: they differ.
        before = spoken.get(who)
        whole = before is not None and draw(st.integers(0, 4)) > 0
        prompt = list(before or []) if whole else [10 + who, 20 + number]
        prompt += draw(tokens if not whole else st.lists(st.integers(0, 3), max_size=4))
        said = draw(tokens)
        logprobs = [logprob_of(number, i) for i in range(len(said))]
        calls.append(Call(list(prompt), said, logprobs))
        origins.append((who, whole))
        spoken[who] = prompt + said
    return calls, origins


@unhurried
@given(conversations())
def test_conversations_become_rows_on_exactly_the_sampled_tokens(made):
    calls, origins = made
    rows = merge(calls, components)
    # Each call that does not go on begins a row.
    assert len(rows) == sum(not whole for _, whole in origins)
    places: dict[int, list[tuple[int, int]]] = {}
    for number, row in enumerate(rows):
        size = len(row.sampled)
        assert len(row.logprobs) == len(row.calls) == len(row.components) == size
        assert row.sampled == sorted(set(row.sampled))
        for at, call in zip(row.sampled, row.calls, strict=True):
            places.setdefault(call, []).append((number, at))
    for number, call in enumerate(calls):
        assert len(places[number]) == len(call.token_ids)
        [row_number] = {row_number for row_number, _ in places[number]}
        row, at = rows[row_number], [place for _, place in places[number]]
        # What the policy had read when it sampled them is what stands before them.
        assert row.ids[: at[0]] == call.prompt_ids
        assert [row.ids[t] for t in at] == call.token_ids
        mine = [i for i, c in enumerate(row.calls) if c == number]
        assert [row.logprobs[i] for i in mine] == call.logprobs
        assert [row.components[i] for i in mine] == components((), call.token_ids)


some_rows = st.lists(
    st.lists(st.integers(0, 2), min_size=2, max_size=9), min_size=1, max_size=7
)


def shared(one: list[int], other: list[int]) -> int:
    return common_prefix(np.asarray(one, np.int32), np.asarray(other, np.int32))


def cost(rows: Sequence[list[int]], bundles: Sequence[Bundle]) -> int:
    return sum(b.prefix + sum(len(rows[i]) - b.prefix for i in b.rows) for b in bundles)


@given(some_rows, st.data())
@settings(max_examples=200, deadline=None)
def test_bundles_hold_each_row_once_and_what_is_common(rows, data):
    limits = [data.draw(st.integers(0, len(row) - 1)) for row in rows]
    limits = data.draw(st.sampled_from([None, limits]))
    found = bundle(rows, limits)
    assert sorted(i for b in found for i in b.rows) == list(range(len(rows)))
    for b in found:
        sizes = [len(rows[i]) for i in b.rows]
        assert sizes == sorted(sizes)
        assert len({tuple(rows[i][: b.prefix]) for i in b.rows}) == 1
        assert all(b.prefix < len(rows[i]) for i in b.rows)
        if limits is not None:
            assert all(b.prefix <= limits[i] for i in b.rows)
    assert cost(rows, found) <= sum(map(len, rows))


@given(some_rows, st.data())
@settings(max_examples=150, deadline=None)
def test_no_cut_of_the_sorted_rows_is_cheaper(rows, data):
    limits = [data.draw(st.integers(0, len(row) - 1)) for row in rows]
    heads = [row[:limit] for row, limit in zip(rows, limits, strict=True)]
    order = sorted(range(len(rows)), key=lambda i: heads[i])
    best = sum(map(len, rows))
    for cuts in itertools.product([False, True], repeat=len(rows) - 1):
        saved, run = 0, [order[0]]
        for number, cut in zip([*order[1:], None], [*cuts, True], strict=True):
            if cut:
                common = heads[run[0]]
                for i in run:
                    common = common[: shared(common, heads[i])]
                saved += len(common) * (len(run) - 1)
                run = []
            run.append(number)
        best = min(best, sum(map(len, rows)) - saved)
    assert cost(rows, bundle(rows, limits)) == best


@unhurried
@given(some_rows)
def test_common_prefix(rows):
    for one, other in itertools.product(rows, repeat=2):
        size = shared(one, other)
        assert one[:size] == other[:size]
        assert size == min(len(one), len(other)) or one[size] != other[size]


@unhurried
@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_parts_hold_every_item_and_fit(sizes, most):
    sizes.sort()
    parts = chunks(sizes, lambda size: size, most)
    assert [size for part in parts for size in part] == sizes
    for part in parts:
        assert len(part) == 1 or len(part) * max(part) <= most


@st.composite
def samples(draw):
    calls = [
        Call([1] * draw(st.integers(1, 3)), ids, [-1.0] * len(ids))
        for ids in draw(st.lists(tokens, max_size=3))
    ]
    steps = draw(
        st.none() | st.lists(st.floats(0, 1), min_size=len(calls), max_size=len(calls))
    )
    return Sample(
        scenario="s",
        reward=draw(st.floats(0, 1)),
        passed=draw(st.booleans()),
        rows=merge(calls, components),
        steps=steps,
        trained=draw(st.sets(st.sampled_from(COMPONENTS))),
        versions=draw(
            st.lists(st.integers(0, 1), min_size=len(calls), max_size=len(calls))
        ),
        calls=len(calls),
    )


groups = st.lists(st.lists(samples(), min_size=1, max_size=5), max_size=3)


@unhurried
@given(groups, kinds, st.sampled_from(["checks", "passed", "passed_first"]))
def test_each_episode_of_a_batch_weighs_the_same(made, kind, reward):
    batch = iter(
        make_batch(made, advantage=kind, reward=reward, token_mean="rollout", version=1)
    )
    for group in made:
        earned = advantages(targets(group, reward), kind)
        for sample, of_episode in zip(group, earned, strict=True):
            rows = [next(batch) for _ in sample.rows]
            weights = [w for row in rows for w in row.weights]
            trained = [c in sample.trained for row in rows for c in row.row.components]
            assert [w > 0 for w in weights] == trained
            assert [f == 0 for row in rows for f in row.frozen] == trained
            if any(trained):
                assert math.fsum(weights) == pytest.approx(1)
                assert len({w for w in weights if w}) == 1
            for training_row, row in zip(rows, sample.rows, strict=True):
                assert training_row.row is row
                fresh = [float(sample.versions[call] == 1) for call in row.calls]
                assert training_row.fresh == fresh
                if sample.steps is None:
                    assert set(training_row.advantages) <= {of_episode}
    assert next(batch, None) is None


@unhurried
@given(groups)
def test_all_trained_tokens_of_a_case_weigh_the_same(made):
    batch = iter(make_batch(made, advantage="std", reward="checks", token_mean="case"))
    for group in made:
        rows = [next(batch) for sample in group for _ in sample.rows]
        weights = [w for row in rows for w in row.weights if w]
        assert len(set(weights)) <= 1
        # Those of an average episode share a weight of 1.
        assert not weights or math.fsum(weights) == pytest.approx(len(group))


@unhurried
@given(st.lists(samples(), min_size=1, max_size=5), kinds)
def test_a_step_is_compared_with_all_steps_of_its_group(group, kind):
    for sample in group:
        sample.steps = sample.steps or [0.25] * sample.calls
    steps = [reward for sample in group for reward in sample.steps]
    expected = advantages(steps, kind)
    rows = make_batch([group], advantage=kind, reward="passed", token_mean="case")
    found = {}
    for number, sample in enumerate(group):
        for row in sample.rows:
            made = rows.pop(0)
            for call, value in zip(row.calls, made.advantages, strict=True):
                assert found.setdefault((number, call), value) == value
    assert [found[place] for place in sorted(found)] == expected
    assert informative(group, "passed") == (
        varies([float(s.passed) for s in group]) or varies(steps)
    )


@unhurried
@given(st.integers(1, 12), st.integers(1, 60), st.integers(), st.booleans(), st.data())
def test_scenarios_are_drawn_as_often_as_they_weigh(count, draws, seed, adaptive, data):
    names = [f"s{i}" for i in range(count)]
    curriculum = Curriculum(names, seed=seed, adaptive=adaptive)
    weights = {}
    for name in names:
        played = data.draw(st.integers(0, 40))
        passed = data.draw(st.integers(0, played))
        curriculum.played(Drawn(name, 0), passed=passed, played=played)
        likely = max((passed + 1) / (played + 2), 0.5)
        deviation = max(math.sqrt(likely * (1 - likely)), FLOOR)
        weights[name] = deviation if adaptive else 1.0
    again = Curriculum(names, seed=seed, adaptive=adaptive)
    again.restore(curriculum.state())
    assert again.state() == curriculum.state()
    drawn = curriculum.draw(draws)
    assert drawn == again.draw(draws)
    assert len(drawn) == draws
    found, total = Counter(drawn), sum(weights.values())
    for name in names:
        assert abs(found[name] - draws * weights[name] / total) < 1 + 1e-9


def test_cases_are_played_again_within_their_scenarios_share():
    curriculum = Curriculum(["known", "new"], seed=0)
    for case in range(40):
        curriculum.played(Drawn("known", case, fresh=False), passed=1, played=2)
    groups = curriculum.groups(16)
    assert Counter(drawn.scenario for drawn in groups) == {"known": 8, "new": 8}
    assert Counter(d.scenario for d in groups if not d.fresh) == {"known": 4}
    again = [d.case for d in groups if not d.fresh]
    assert len(set(again)) == 4
    # They were taken out: only what differs once more comes again.
    assert not set(again) & {d.case for d in curriculum.groups(64) if not d.fresh}
    alike = Curriculum(["known"], seed=0, adaptive=False)
    alike.played(Drawn("known", 0), passed=1, played=2)
    assert all(drawn.fresh for drawn in alike.groups(16))


def test_scenarios_that_never_passed_are_known_after_a_resume():
    curriculum = Curriculum(["good", "bad", "unplayed"], seed=0)
    for name, passed in (("good", 1), ("bad", 0), ("good", 0)):
        drawn = Drawn(name, curriculum.next_case(name))
        curriculum.played(drawn, passed=passed, played=8)
    again = Curriculum(["good", "bad", "unplayed"], seed=0)
    again.restore(curriculum.state())
    assert curriculum.never_passed == again.never_passed == ["bad"]


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@unhurried
@given(outcomes, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_paired_difference_lies_within_its_interval(pairs, confidence):
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    value, low, high = paired_difference(before, after, confidence)
    assert value == pytest.approx((sum(after) - sum(before)) / len(pairs))
    assert -1 <= low <= value <= high <= 1
    assert low < high
    turned = paired_difference(after, before, confidence)
    assert turned == pytest.approx((-value, -high, -low))
    wider = paired_difference(before, after, 0.999)
    assert wider[1] <= low
    assert high <= wider[2]


cases = st.none() | st.integers(0, 60)


@unhurried
@given(st.lists(st.tuples(st.integers(1, 80), cases, cases), min_size=1, max_size=30))
def test_what_is_measured_is_never_learnt_from(counts):
    scenarios = [
        ScenarioInfo(
            scenario=f"s{i}", episodes=episodes, train_cases=train, held_out_cases=held
        )
        for i, (episodes, train, held) in enumerate(counts)
    ]
    before, after = (held_out_tasks(scenarios, p) for p in ("before", "after"))
    places = [(t.scenario, t.case, t.repeat) for t in before]
    assert places == [(t.scenario, t.case, t.repeat) for t in after]
    assert len(set(places)) == len(places)
    assert {t.split for t in before} <= {"held_out"}
    assert ({t.phase for t in before}, {t.phase for t in after}) in (
        ({"before"}, {"after"}),
        (set(), set()),
    )
    validated = validation_tasks(scenarios)
    places = [(t.scenario, t.case, t.repeat) for t in validated]
    assert len(set(places)) == len(places)
    assert {(t.split, t.phase) for t in validated} <= {("train", "validate")}
    for info in scenarios:
        held = [t for t in before if t.scenario == info.scenario]
        assert len(held) == (info.episodes if info.held_out_cases != 0 else 0)
        if info.held_out_cases:
            assert all(t.case < info.held_out_cases for t in held)
        mine = {t.case for t in validated if t.scenario == info.scenario}
        learned = training_cases(info)
        assert bool(mine) == (info.train_cases != 0)
        if info.train_cases is None:
            assert learned is None
            assert min(mine) >= 1_000_000
        elif info.train_cases >= 4:
            assert learned is not None
            assert 0 < learned <= min(mine)
            assert max(mine) < info.train_cases
        else:
            assert learned == info.train_cases
            assert mine <= set(range(info.train_cases))
