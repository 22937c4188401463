"""Users who want nothing: the right thing is to leave everything alone."""

import re

from agentgym import must, scenario

from .language import WORDING, say


@scenario(trainable_components=WORDING)
def test_news_and_thanks_need_no_tool(agent, office, case):
    contact, title = office.add_contact(), office.title()
    run = agent.run(say("thanks", case, name=contact.first, title=title))

    kind = r"\b(welcome|thank|thanks|glad|happy|good|great|nice|fine|right|noted|ok)\b"
    assert re.search(kind, run.reply, re.I), must("be friendly")
    assert not run.calls, must("there is nothing to do")
