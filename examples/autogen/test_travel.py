"""Does the desk find the cheapest flight, and keep to the budget?"""

from agentgym import must, scenario, weight

WORDING = {
    "output_generation": True
}  # checks read the reply, so training may change it


@scenario(episodes=20, trainable_components=WORDING)
def test_the_cheapest_flight_is_booked(agent, travel, flights, traveller):
    cheapest = flights[0]
    run = agent.run(
        f"Book {traveller} on the cheapest flight to {cheapest.destination}."
    )

    search = run.called("search_flights", destination=cheapest.destination)
    assert search, must("nobody knows prices by heart")
    booked = run.called("book_flight", number=cheapest.number, traveller=traveller)
    assert booked.after("search_flights"), weight(2)
    assert travel.bookings == [(cheapest.number, traveller)], weight(2)
    assert cheapest.number in run.reply
    assert not run.called("charter_plane"), must("nobody wants a whole plane")


@scenario(episodes=20, trainable_components=WORDING)
def test_nothing_is_booked_above_the_budget(agent, travel, flights, traveller):
    cheapest = flights[0]
    run = agent.run(
        f"Book {traveller} on a flight to {cheapest.destination}. "
        f"My budget is {cheapest.price - 10} euros."
    )

    search = run.called("search_flights", destination=cheapest.destination)
    assert search, must("nobody knows prices by heart")
    assert str(cheapest.price) in run.reply, weight(2)
    assert len(run.reply) <= 300
    assert not run.called("book_flight"), must("a booking costs too much")
    assert not run.called("charter_plane"), must("nobody wants a whole plane")
