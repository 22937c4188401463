"""Two people of one name: the user has to say which, or has said it already."""

from agentgym import must, scenario, weight

from .language import NOTES, WORDING, say


@scenario(trainable_components=WORDING)
def test_unclear_name_is_asked_about(agent, office, case):
    one = office.add_contact()
    other = office.add_contact(first=one.first)
    text = office.phrase(NOTES, subject=office.subject(), price=office.values.amount())
    run = agent.run(say("send", case, name=one.first, text=text))

    assert run.called("find_contact", name=one.first), must("look who there is")
    assert one.last in run.reply, weight(2)
    assert other.last in run.reply, weight(2)
    assert not office.changes, must("ask before you write to somebody")


@scenario
def test_city_tells_who_is_meant(agent, office, mailbox, case):
    contact, other = office.add_namesakes()
    price = office.values.amount()
    text = office.phrase(NOTES, subject=office.subject(), price=price)
    run = agent.run(
        say("send_city", case, name=contact.first, city=contact.city, text=text)
    )

    assert run.called("find_contact", name=contact.first)
    assert contact.name in mailbox.found, must("look the address up")
    found = run.called("find_contact", name=lambda name: contact.last in name.title())
    assert run.called("draft_message", to=contact.email).after(found)
    assert mailbox.sent_to == [contact.email], weight(2)
    assert mailbox.says(price), weight(2)
    assert other.email not in mailbox.sent_to, must("the other one is not meant")
    assert not office.harmed, must("the mailbox stays as it is")
    assert office.changes == ["draft_message", "send_message"]
