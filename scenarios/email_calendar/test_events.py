"""Events that are there: they are found, moved and cancelled, and none is harmed."""

from agentgym import must, scenario, weight

from .language import NO, WORDING, say
from .moments import same


@scenario
def test_event_is_moved(agent, office, case):
    event, wish = office.add_event(), office.meeting()
    office.add_event_beside(event)
    day, where = event.day, {"to_day": wish.day, "to_time": wish.time}
    run = agent.run(say("move", case, title=event.title, day=day, **where))

    assert run.called("list_events", date=day), must("find the event")
    assert run.called("move_event", event_id=event.id).after("list_events")
    assert event.start == wish.start, weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["move_event"]


@scenario(trainable_components=WORDING)
def test_move_onto_another_event_is_told(agent, office, case):
    event, wish = office.add_event(), office.meeting()
    other = office.add_event_over(wish.start)
    where = {"to_day": wish.day, "to_time": wish.time}
    run = agent.run(say("move", case, title=event.title, day=event.day, **where))

    assert run.called("list_events", date=event.day), must("find the event")
    tried = run.called("move_event", event_id=event.id, start=same(wish.start))
    looked = run.called("list_events", date=wish.day)
    assert tried.after("list_events") or looked, must("see if it is free")
    assert other.title in run.reply.lower(), weight(2)
    assert not office.changes, must("the user decides which of them gives way")


@scenario
def test_event_is_cancelled(agent, office, diary, case):
    event = office.add_event()
    other = office.add_event_beside(event)
    run = agent.run(say("cancel", case, title=event.title, day=event.day))

    assert run.called("list_events", date=event.day), must("find the event")
    assert run.called("cancel_event").after("list_events")
    assert event.id not in diary.events, weight(2)
    assert other.id in diary.events, must("the other event takes place")
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["cancel_event"]


@scenario(trainable_components=WORDING)
def test_missing_event_is_admitted(agent, office, case):
    event, title = office.add_event(), office.title()
    run = agent.run(say("cancel", case, title=title, day=event.day))

    assert run.called("list_events", date=event.day), must("look before you say no")
    assert NO.search(run.reply), weight(2)
    assert not office.changes, must("no other event is cancelled for it")
