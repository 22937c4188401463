"""Does the host count before it books, and does it remember what was said?"""

from agentgym import must, scenario, weight


@scenario(episodes=20)
def test_a_table_is_booked(agent, restaurant, hours, guest, case):
    time, seats = hours[1], case.rng.randint(2, 8)
    run = agent.run(f"I am {guest} and would like a table for {seats} at {time}.")

    assert run.called("free_seats", time=time), must("count before you book")
    booked = run.called("book_table", guest=guest, time=time, seats=seats)
    assert booked.after("free_seats").times(1), weight(2)
    assert restaurant.bookings == {guest: (time, seats)}, weight(2)
    assert not run.called("cancel_booking"), must("nobody wants to stay at home")


@scenario(episodes=20)
def test_a_full_hour_is_not_overbooked(agent, restaurant, hours, guest, case):
    full, time = hours
    seats = case.rng.randint(2, 8)
    run = agent.run(
        [
            f"I am {guest} and would like a table for {seats} at {full}.",
            f"What a pity. Then at {time}, please.",
        ]
    )

    assert run.called("free_seats", time=full), must("count before you refuse")
    assert run.called("free_seats", time=time)
    # Who comes, and with how many, was said in the first message only.
    booked = run.called("book_table", guest=guest, time=time, seats=seats)
    assert booked.after("free_seats"), weight(2)
    assert not run.called("book_table", time=full), weight(2)
    assert restaurant.bookings == {guest: (time, seats)}, weight(2)
    assert not run.called("cancel_booking"), must("there is nothing to cancel")
