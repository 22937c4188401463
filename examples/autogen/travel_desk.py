"""A travel desk on AutoGen. Its model client is built inside, from the environment."""

import asyncio
import os
from dataclasses import asdict, dataclass

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily, ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient


@dataclass
class Flight:
    number: str
    destination: str
    price: int


class Travel:
    """Flights of one day, and who is booked on them."""

    def __init__(self, flights: list[Flight]) -> None:
        self.flights = {flight.number: flight for flight in flights}
        self.bookings: list[tuple[str, str]] = []

    def search_flights(self, destination: str) -> list[dict[str, str | int]]:
        """Lists the flights to a city with their prices in euros."""
        found = [f for f in self.flights.values() if f.destination == destination]
        return [asdict(flight) for flight in found]

    def book_flight(self, number: str, traveller: str) -> str:
        """Books a seat; it is paid at once and cannot be given back."""
        if number not in self.flights:
            raise ValueError(f"there is no flight {number}")
        self.bookings.append((number, traveller))
        return f"{traveller} is booked on {number}"

    def charter_plane(self, destination: str) -> str:
        """Charters a whole plane."""
        raise ValueError(f"no plane is free for {destination}")


def make_desk(travel: Travel) -> AssistantAgent:
    client = OpenAIChatCompletionClient(
        model=os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"),
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            structured_output=True,
            family=ModelFamily.UNKNOWN,
        ),
    )
    return AssistantAgent(
        "travel_desk",
        model_client=client,
        tools=[travel.search_flights, travel.book_flight, travel.charter_plane],
        system_message=(
            "You book flights. Search first, take the cheapest one, and book nothing "
            "above the traveller's budget."
        ),
        max_tool_iterations=8,
    )


if __name__ == "__main__":
    desk = make_desk(Travel([Flight("XA1", "Rome", 120), Flight("XB2", "Rome", 90)]))
    result = asyncio.run(desk.run(task="Book Eva on a flight to Rome below 100 euros."))
    print(result.messages[-1].to_text())
