"""Measures the desk of travel_desk.py, which reads its endpoint from the environment.

`policy_environment` sets OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL for one
episode at a time: the environment is the whole process's.
"""

import pytest
from travel_desk import Flight, Travel, make_desk

CITIES = {
    "train": ["Rome", "Oslo", "Porto", "Vienna", "Athens", "Riga"],
    "held_out": ["Lisbon", "Dublin", "Prague"],
}
TRAVELLERS = {
    "train": ["Eva Lund", "Tom Okafor", "Mia Rossi", "Jan Novak"],
    "held_out": ["Ada Berg", "Leo Costa"],
}


@pytest.fixture
def traveller(case):
    return case.rng.choice(TRAVELLERS[case.split])


@pytest.fixture
def travel(case):
    """Three flights to one city, the cheapest of them anywhere, and one elsewhere."""
    rng = case.rng
    city, other = rng.sample(CITIES[case.split], 2)
    prices = rng.sample(range(60, 400), 3)
    flights = [
        Flight(f"X{rng.randint(100, 999)}{n}", city, p) for n, p in enumerate(prices)
    ]
    return Travel([*flights, Flight("Y1000", other, 20)])


@pytest.fixture
def flights(travel):
    """Those to the city, the cheapest first."""
    return sorted(list(travel.flights.values())[:3], key=lambda flight: flight.price)


@pytest.fixture
def agent(policy_environment, travel):
    return make_desk(travel)
