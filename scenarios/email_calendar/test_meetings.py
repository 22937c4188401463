"""New events: what is free is booked, and what is taken is told."""

from agentgym import must, scenario, weight

from .language import WORDING, say
from .moments import same


@scenario
def test_meeting_is_booked(agent, office, diary, case):
    wish = office.meeting()
    run = agent.run(say("book", case, **wish.facts))

    assert run.called("create_event"), must("it is asked for")
    assert diary.starts == [wish.start]
    assert diary.booked == [(wish.title, wish.start, wish.minutes)], weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["create_event"]


@scenario(trainable_components=WORDING)
def test_taken_time_is_told(agent, office, case):
    wish = office.meeting()
    other = office.add_event_over(wish.start)
    run = agent.run(say("book", case, **wish.facts))

    listed = run.called("list_events", date=wish.day)
    tried = run.called("create_event", minutes=wish.minutes, start=same(wish.start))
    named = tried.with_args(title=wish.is_named)
    assert listed or named, must("see if it is free")
    assert other.title in run.reply.lower(), weight(2)
    assert not office.changes, must("the user decides which of them gives way")


@scenario
def test_first_free_time_is_booked(agent, office, diary, case):
    wish, free = office.meeting_on_a_full_morning()
    run = agent.run(say("early", case, **wish.facts))

    found = run.called("free_slots", date=wish.day, minutes=wish.minutes)
    listed = run.called("list_events", date=wish.day)
    assert found or listed, must("see what is free")
    booked = run.called("create_event")
    assert booked.after(found) or booked.after(listed)
    assert diary.booked == [(wish.title, free, wish.minutes)], weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["create_event"]


@scenario
def test_taken_time_gives_way_to_a_free_one(agent, office, diary, case):
    wish, free = office.meeting_on_a_full_morning()
    run = agent.run(say("book_or_early", case, **wish.facts))

    listed = run.called("list_events", date=wish.day)
    tried = run.called("create_event", minutes=wish.minutes, start=same(wish.start))
    named = tried.with_args(title=wish.is_named)
    assert listed or named, must("see if the time is taken")
    found = run.called("free_slots", date=wish.day, minutes=wish.minutes)
    assert listed or found
    assert diary.booked == [(wish.title, free, wish.minutes)], weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["create_event"]


@scenario
def test_asked_time_is_free_after_all(agent, office, diary, case):
    wish = office.meeting()
    run = agent.run(say("book_or_early", case, **wish.facts))

    assert run.called("create_event"), must("it is asked for")
    assert diary.starts == [wish.start]
    assert diary.booked == [(wish.title, wish.start, wish.minutes)], weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["create_event"]
