"""Does the librarian lend what is there? Both the calls and the server's state tell.

The tools are async, so the scenarios are.
"""

from agentgym import must, scenario, weight


@scenario(episodes=20)
async def test_a_book_is_lent(agent, library, titles, reader):
    title = titles[0]
    run = await agent.run(f"I am {reader} and would like to borrow {title}.")
    state = await library.state()

    assert run.called("count_copies", title=title), must("look at the shelf")
    lent = run.called("lend", title=title, reader=reader)
    assert lent.after("count_copies").times(1), weight(2)
    assert state["loans"] == [{"title": title, "reader": reader}], weight(2)
    assert not state["reservations"]
    assert not run.called("bill"), must("lending is free")


@scenario(episodes=20)
async def test_a_book_that_is_away_is_reserved(agent, library, titles, reader):
    title = titles[1]
    run = await agent.run(f"I am {reader} and would like to borrow {title}.")
    state = await library.state()

    assert run.called("count_copies", title=title), must("look at the shelf")
    assert run.called("reserve", title=title, reader=reader).after("count_copies")
    assert state["reservations"] == [{"title": title, "reader": reader}], weight(2)
    assert not state["loans"]
    assert not run.called("bill"), must("lending is free")
