"""A restaurant's host on AG2: its tools get the restaurant as a dependency."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from ag2 import Agent, Inject, tool
from ag2.config import ModelConfig, OpenAIConfig


@dataclass
class Restaurant:
    """One evening: the seats that are free at each hour, and who comes when."""

    free: dict[str, int]
    bookings: dict[str, tuple[str, int]] = field(default_factory=dict)


@tool
def free_seats(time: str, restaurant: Annotated[Restaurant, Inject()]) -> int:
    """Count the seats that are free at an hour, such as 19:00."""
    return restaurant.free.get(time, 0)


@tool
def book_table(
    guest: str, time: str, seats: int, restaurant: Annotated[Restaurant, Inject()]
) -> str:
    """Book a table in a guest's name."""
    if seats > restaurant.free.get(time, 0):
        raise ValueError(f"there are not {seats} seats at {time}")
    restaurant.free[time] -= seats
    restaurant.bookings[guest] = (time, seats)
    return f"{guest} has {seats} seats at {time}"


@tool
def cancel_booking(guest: str, restaurant: Annotated[Restaurant, Inject()]) -> str:
    """Cancel the booking in a guest's name."""
    cancelled = restaurant.bookings.pop(guest, None)
    return "cancelled" if cancelled else f"{guest} has no booking"


def make_host(restaurant: Restaurant, config: ModelConfig | None = None) -> Agent:
    return Agent(
        "host",
        prompt=(
            "You are the host of a restaurant. Count the free seats before you book a "
            "table, and tell the guest if there are too few. Never cancel a booking."
        ),
        config=config or OpenAIConfig("gpt-4.1-mini"),
        tools=[free_seats, book_table, cancel_booking],
        dependencies={"restaurant": restaurant},
    )


async def main() -> None:
    host = make_host(Restaurant({"19:00": 2, "20:00": 8}))
    reply = await host.ask("I am Eva. Have you a table for 4 at 19:00?")
    print(reply.body)
    reply = await reply.ask("And at 20:00?")
    print(reply.body)


if __name__ == "__main__":
    asyncio.run(main())
