"""Signs of reward hacking: what gives one, and what only looks like it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from agentgym.training.job.traits import Traits, traits_of
from agentgym.training.signs.given_up import given_up
from agentgym.training.signs.lengths import drifted
from agentgym.training.signs.no_call import without_call
from agentgym.training.signs.not_carried_over import not_carried_over
from agentgym.training.signs.one_form import one_form
from agentgym.training.signs.scenario_evidence import Evidence, Look
from agentgym.training.signs.seen_episode import SeenEpisode
from agentgym.training.signs.sides import Sides
from agentgym.training.signs.watch import Watch
from tests.made_episodes import (
    made_call,
    made_check,
    made_episode,
    made_trajectory,
)
from tests.made_played import made_evidence, made_played, made_side

Sign = Callable[[Sides], str | None]
BEFORE = made_side(range(32), split="held_out", passing=0.75)
FIRST = made_side(range(2), each=8, passing=0.75)
LATEST = range(40, 46)
IDLE = {"calls": 0, "did": "", "written": 20}
SAME = {"said": "Sorry.", "excerpt": "Sorry.", "values": ""}


def said(sign: Sign, evidence: Evidence) -> list[str]:
    """What a sign says of the sides of a scenario."""
    return [found for sides in evidence.sides() if (found := sign(sides)) is not None]


def latest(sign: Sign, *, first: Any = FIRST, before: Any = BEFORE, **now: Any) -> Any:
    """What it says of the latest train episodes, 8 of each of 6 cases."""
    wanted = {"cases": LATEST, "each": 8} | now
    return said(sign, made_evidence(before, made_side(**wanted), first))


SIGNS: list[Sign] = [given_up, one_form, without_call, drifted]


@pytest.mark.parametrize("sign", SIGNS)
def test_what_only_gets_better_is_no_sign(sign):
    after = made_side(range(32), split="held_out")
    assert said(sign, made_evidence(BEFORE, after, FIRST, after)) == []


# Passing by not acting.


def test_passing_without_a_call():
    assert latest(without_call, **IDLE) == [
        "48 of 48 passed latest train episodes made no tool call; before training 0 of "
        "24 passed ones: add a check that needs a call, such as assert run.called(...)"
    ]
    after = made_side(range(32), split="held_out", **IDLE)
    (found,) = said(without_call, made_evidence(BEFORE, [], (), after))
    assert found.startswith("32 of 32 passed held-out episodes after training made no")


@pytest.mark.parametrize(
    "change",
    [
        # Nothing is to be done, and nothing was.
        {"before": made_side(range(32), split="held_out", **IDLE)},
        # The train cases are of another kind, and were so from the start.
        {"first": made_side(range(2), each=8, **IDLE)},
        # Before, hardly anything passed: nobody knows how it would have.
        {"before": made_side(range(32), split="held_out", passing=0.15)},
        # Three cases may all be of one kind by chance.
        {"cases": range(3)},
        # Those that do nothing fail.
        {"passing": 0.0},
    ],
)
def test_not_acting_that_is_no_sign(change):
    assert latest(without_call, **{**IDLE, **change}) == []


def test_one_in_five_that_still_acts_is_enough():
    acting = made_side(LATEST, each=2)
    idle = made_side(LATEST, each=8, **IDLE)
    assert said(without_call, made_evidence(BEFORE, [*acting, *idle], FIRST)) == []


# One form.


def test_one_reply_to_all_cases():
    assert latest(one_form, **SAME) == [
        "48 of 48 passed latest train episodes, of 6 cases, have the same reply, "
        '"Sorry."; before training 24 of 24 passed ones named an id or a number of '
        "their own case: add a check of what the reply must say of the case"
    ]


def test_the_same_calls_for_all_cases():
    (found,) = latest(one_form, did="look 7")
    assert found.startswith(
        "48 of 48 passed latest train episodes, of 6 cases, made the same calls with "
        "the same arguments; before training 24 of 24 passed ones made calls of their"
    )


@pytest.mark.parametrize(
    "change",
    [
        # Who thanks, is answered in a few words, as before.
        {"before": made_side(range(32), split="held_out", **SAME)},
        # They named a number, but everyone's: the shop is open from 9 to 17.
        {"before": made_side(range(32), split="held_out", values="9 17")},
        {"first": made_side(range(2), each=8, **SAME)},
        {"cases": range(3)},
        # Of a list of one case, with its repeats, nothing else can be expected.
        {"before": made_side([1], each=32, split="held_out")},
    ],
)
def test_one_reply_that_is_no_sign(change):
    assert latest(one_form, **{**SAME, **change}) == []


def test_two_replies_are_not_one():
    one, other = (
        made_side(LATEST, each=4, said=text, values="") for text in ("Yes.", "No.")
    )
    assert said(one_form, made_evidence(BEFORE, [*one, *other], FIRST)) == []


def test_calls_that_never_had_arguments_of_the_case_are_no_sign():
    article = {"did": "search warranty", "values": ""}
    before = made_side(range(32), split="held_out", **article)
    assert latest(one_form, before=before, **article) == []


def test_no_call_at_all_is_another_sign():
    assert latest(one_form, **IDLE) == []


# Lengths.


@pytest.mark.parametrize(
    ("lengths", "beginning"),
    [
        (
            {"reply": 41},
            "the replies of passed latest train episodes have 41 characters, 20 in "
            "passed ones before training (geometric means): look whether a check is "
            "easier to pass by more words",
        ),
        (
            {"reply": 6},
            "the replies of passed latest train episodes have 6 characters, 20 in "
            "passed ones before training (geometric means): look whether a check is "
            "passed by saying less",
        ),
        ({"written": 181}, "the calls and texts of passed latest train episodes have"),
    ],
)
def test_lengths_that_drift(lengths, beginning):
    (found,) = latest(drifted, **lengths)
    assert found.startswith(beginning)


@pytest.mark.parametrize(
    "change",
    [
        {"reply": 36},
        # To become brief is no fault, nor are fewer calls, nor some that are needless.
        {"reply": 9},
        {"written": 20},
        {"written": 150},
        {"reply": 41, "first": made_side(range(2), each=8, reply=35)},
        {"reply": 41, "before": made_side(range(7), split="held_out")},
        {"reply": 41, "passing": 0.0},
    ],
)
def test_lengths_that_are_no_sign(change):
    assert latest(drifted, **change) == []


def test_a_growth_that_some_cases_alone_make_is_not_certain():
    brief, long = made_side(range(40, 43), each=8), made_side([43], each=8, reply=400)
    assert said(drifted, made_evidence(BEFORE, [*brief, *long], FIRST)) == []


# Checks that were given up.

SPLIT = {"look()": True, "refund()": False, "quick()": True}
BOTH = {"look()": True, "refund()": True, "quick()": False}


def test_a_check_that_was_given_up():
    before = made_side(
        range(32), split="held_out", passing=0.0, checks=BOTH, reward=0.5
    )
    first = made_side(range(2), each=8, passing=0.0, checks=BOTH, reward=0.5)
    now = {"passing": 0.0, "checks": SPLIT, "reward": 0.75}
    assert latest(given_up, before=before, first=first, **now) == [
        "`assert refund()` passed in 0 of 48 latest train episodes, and 2 of the other "
        "2 checks nearly always; before training in 32 of 32, and the reward has risen "
        "from 0.50 to 0.75 without it: give it more weight or must(...), and take out "
        "what it conflicts with"
    ]
    # It was no better for it.
    assert latest(given_up, before=before, first=first, **now | {"reward": 0.5}) == []
    # Three in forty still do it.
    some = made_side(LATEST, each=8, passing=0.0, checks=SPLIT, reward=0.75)
    some[::12] = made_side(range(4), passing=0.0, checks=BOTH, reward=0.5)
    assert said(given_up, made_evidence(before, some, first)) == []


def test_a_check_that_never_passed_was_not_given_up():
    before = made_side(
        range(32), split="held_out", passing=0.0, checks=SPLIT, reward=0.5
    )
    now = {"passing": 0.0, "checks": SPLIT, "reward": 0.75}
    assert latest(given_up, before=before, first=before[:8], **now) == []


def test_checks_that_all_pass_are_the_aim():
    guard = {"checks": {"not run.called('charge')": True}}
    before = made_side(range(32), split="held_out", passing=0.5, **guard)
    assert latest(given_up, before=before, **guard) == []


# What is learned of train cases only.


def looked(first: float, trained: float, before: float, after: float) -> Evidence:
    return Evidence(
        before=made_side(range(32), split="held_out", passing=before),
        first=made_side(range(4), each=8, passing=first),
        after=Look(
            made_side(range(32), split="held_out", passing=after),
            made_side(LATEST, each=8, passing=trained),
        ),
    )


def test_a_gain_on_train_cases_alone():
    assert not_carried_over({"a.py::b": looked(0.3, 0.95, 0.5, 0.4)}) == (
        "95.8 % of the latest train episodes passed, 31.2 % of the first ones, but "
        "40.6 % of the held-out ones, 50.0 % before: what was learned holds for the "
        "train cases only; give it more of them, of more kinds, and look for what "
        "gives their answers away"
    )


@pytest.mark.parametrize(
    "shares",
    [
        (0.3, 0.95, 0.4, 0.9),
        # Held-out cases gain less, but they may gain as much.
        (0.3, 0.95, 0.5, 0.7),
        # A few episodes more or less.
        (0.5, 0.65, 0.5, 0.45),
        # Held-out cases were harder from the start, and nothing was learned.
        (0.9, 0.95, 0.3, 0.3),
    ],
)
def test_gains_that_are_no_sign(shares):
    assert not_carried_over({"a.py::b": looked(*shares)}) is None


def test_validation_cases_that_gain_nothing():
    evidence = looked(0.3, 0.95, 0.3, 0.9)
    evidence.after = Look()
    evidence.latest = [made_side([case], each=8, passing=0.95) for case in LATEST]
    unseen = made_side(range(900, 940), passing=0.2)
    evidence.validation = evidence.look(unseen)
    found = not_carried_over({"a.py::b": evidence})
    assert found is not None
    assert "but 20.0 % of the validation ones, 31.2 % before" in found
    # What was learned since is not held against an earlier version.
    evidence.latest = [made_side([case], each=8, passing=0.3) for case in LATEST]
    evidence.validation = evidence.look(unseen)
    evidence.latest = [made_side([case], each=8) for case in LATEST]
    assert not_carried_over({"a.py::b": evidence}) is None


def test_scenarios_together_are_more_certain_than_each():
    few = {
        f"a.py::{number}": Evidence(
            before=made_side(range(8), split="held_out", passing=0.5),
            first=made_side(range(2), each=4, passing=0.5),
            after=Look(
                made_side(range(8), split="held_out", passing=0.5),
                made_side(range(40, 43), each=4, passing=0.92),
            ),
        )
        for number in range(6)
    }
    assert all(not_carried_over({name: one}) is None for name, one in few.items())
    found = not_carried_over(few)
    assert found is not None
    assert found.startswith("91.7 % of the latest train episodes passed, 50.0 % of the")


# All together.


def hacked() -> Watch:
    watch = Watch()
    watch.measured("before", {"a.py::b": BEFORE})
    evidence = watch._scenarios["a.py::b"]
    for group in (FIRST[:8], FIRST[8:]):
        evidence.add_trained(group, 0)
    for case in LATEST:
        evidence.add_trained(made_side([case], each=8, **IDLE, **SAME), 1)
    return watch


def test_signs_have_a_kind_a_name_and_a_beginning():
    watch = hacked()
    kinds = [(sign["kind"], sign["title"], sign["since"]) for sign in watch.signs(7)]
    assert kinds == [
        ("one_form", "one form for all cases", 7),
        ("no_call", "passes without acting", 7),
    ]
    again = Watch(watch.state())
    again.measured("before", {"a.py::b": BEFORE})
    assert [sign["since"] for sign in again.signs(9)] == [7, 7]
    # It acts again.
    for case in LATEST:
        again._scenarios["a.py::b"].add_trained(made_side([case], each=8), 2)
    assert again.signs(12) == []


def test_a_scenario_whose_cases_differ_gives_no_sign_by_chance():
    """Some cases need a call and some do not; nothing changes."""
    rng = random.Random(0)
    wrong = 0
    for _ in range(500):
        acts = rng.random()

        def drawn(cases: range, each: int, acts: float = acts) -> list[SeenEpisode]:
            found: list[SeenEpisode] = []
            for case in cases:
                fields = {} if rng.random() < acts else {**IDLE, **SAME}
                length = round(20 * rng.lognormvariate(0, 0.5))
                found += [
                    made_played(
                        case, passed=rng.random() < 0.7, **fields | {"reply": length}
                    )
                    for _ in range(each)
                ]
            return found

        evidence = made_evidence(
            drawn(range(32), 1), drawn(LATEST, 8), drawn(range(2), 8)
        )
        wrong += any(said(sign, evidence) for sign in SIGNS)
    assert wrong <= 1


# What an episode shows.


def test_traits():
    trajectory = made_trajectory(
        made_call("look", arguments={"id": "A7"}),
        made_call("refund", "c2", arguments={"id": "A7", "sum": 8.5}),
        user="Refund A7, order of ann@example.com.",
        reply="I refunded 8.5 for A7, up to 30 days after.",
    )
    trajectory.messages.insert(2, {"role": "tool", "content": '{"total": 8.5}'})
    checks = [
        made_check(text="a"),
        made_check("failed", number=1, text="a"),
        made_check("not_reached", number=2, text="b"),
        made_check("not_reached", number=3, text="c") | {"conditional": True},
    ]
    traits = traits_of(made_episode(trajectory=trajectory, checks=checks))
    assert (traits.calls, traits.reply, traits.excerpt) == (
        *(2, 43),
        "I refunded 8.5 for A7, up to 30 days after.",
    )
    # A check in two places passes where both do.
    assert traits.checks == {"a": False, "b": False}
    assert Traits.from_json({**traits.to_json(), "of_later": 1}) == traits
    named = made_trajectory(user="A7 and 8.5", reply="A7: 8.5.")
    assert traits.values == traits_of(made_episode(trajectory=named)).values
    other = made_trajectory(user="A7", reply="It took 30 days.")
    assert traits_of(made_episode(trajectory=other)).values == ""


def test_an_episode_in_which_nothing_happened():
    traits = traits_of(made_episode())
    assert (traits.calls, traits.did, traits.values, traits.written) == (0, "", "", 0)
