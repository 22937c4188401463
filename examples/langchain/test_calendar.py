"""Does the assistant look before it writes, and write the right thing?"""

from agentgym import must, scenario, weight

WORDING = {
    "output_generation": True
}  # checks read the reply, so training may change it


@scenario(episodes=20, trainable_components=WORDING)
def test_event_is_moved(agent, calendar):
    event = calendar.events["ev2"]
    run = agent.run(f"Please move {event.title} on {event.day} to 19:00.")

    assert run.called("list_events", day=event.day), must("look before you move")
    move = run.called("move_event", event_id="ev2", start="19:00")
    assert move.after("list_events"), weight(2)
    assert event.start == "19:00", weight(2)
    assert len(calendar.events) == 3
    assert "19:00" in run.reply
    assert not run.called("delete_event"), must("moving is not deleting")


@scenario(episodes=20, trainable_components=WORDING)
def test_event_is_added_to_a_free_hour(agent, calendar):
    day = calendar.events["ev1"].day
    run = agent.run(f"Add a physiotherapy appointment on {day} at 18:00.")

    assert run.called("list_events", day=day), must("look before you add")
    assert run.called("add_event", day=day, start="18:00").after("list_events")
    added = [event for event in calendar.events.values() if event.start == "18:00"]
    assert len(added) == 1, weight(2)
    assert "physio" in added[0].title.lower()
    assert not run.called("delete_event"), must("nothing is in the way")
    assert not run.called("move_event"), must("nothing is in the way")


@scenario(episodes=20, trainable_components=WORDING)
def test_two_events_at_the_same_time_are_refused(agent, calendar):
    taken = calendar.events["ev3"]
    run = agent.run(f"Add a massage on {taken.day} at {taken.start}.")

    assert run.called("list_events", day=taken.day), must("look before you answer")
    assert taken.title in run.reply, weight(2)
    assert len(run.reply) < 200
    assert not run.called("add_event"), must("that hour is taken")
    assert not run.called("delete_event"), must("nobody asked for it")
