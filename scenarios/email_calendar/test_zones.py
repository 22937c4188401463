"""Times of other places: the calendar has them in the user's own zone."""

import re

from agentgym import must, scenario, weight

from .language import INVITATIONS, WORDING, say
from .moments import same


@scenario
def test_time_of_another_city_is_converted(agent, office, diary, case):
    wish = office.meeting_abroad()
    run = agent.run(say("zone", case, **wish.facts))

    asked = run.called("convert_time", time=same(wish.there), zone=wish.zone)
    assert asked, must("do not guess what the clocks say")
    assert run.called("create_event").after("convert_time")
    assert diary.starts == [wish.start], weight(2)
    assert diary.booked == [(wish.title, wish.start, wish.minutes)], weight(2)
    assert not office.harmed, must("the mailbox has nothing to do with it")
    assert office.changes == ["create_event"]


@scenario
def test_time_of_a_contact_is_converted(agent, office, mailbox, diary, case):
    wish = office.meeting_abroad()
    contact = office.add_contact(zone=wish.zone)
    text = office.phrase(INVITATIONS, **wish.facts)
    run = agent.run(say("zone_of", case, name=contact.first, text=text, **wish.facts))

    assert contact.name in mailbox.found, must("look up where they live")
    asked = run.called("convert_time", time=same(wish.there), zone=wish.zone)
    assert asked.after("find_contact")
    assert run.called("create_event").after("convert_time")
    assert diary.starts == [wish.start], weight(2)
    assert diary.booked == [(wish.title, wish.start, wish.minutes)]
    assert mailbox.sent_to == [contact.email], weight(2)
    assert mailbox.says(wish.time)
    assert not office.harmed, must("the mailbox stays as it is")
    assert sorted(office.changes) == ["create_event", "draft_message", "send_message"]


@scenario(trainable_components=WORDING)
def test_time_that_the_clocks_skip_is_told(agent, office, case):
    wish = office.meeting_in_a_skipped_hour()
    run = agent.run(say("book", case, **wish.facts))

    tried = run.called("create_event", minutes=wish.minutes, start=same(wish.start))
    assert tried.with_args(title=wish.is_named), must("find out")
    assert re.search("exist|skip|clock|daylight|summer", run.reply, re.I), weight(2)
    assert not office.changes, must("the user chooses another time")
