"""Measures the host of restaurant.py, whose factory takes the model's config."""

import pytest
from ag2.config import OpenAIConfig
from restaurant import Restaurant, make_host

GUESTS = {
    "train": ["Eva", "Tom", "Mia", "Jan", "Zoe", "Max"],
    "held_out": ["Ada", "Leo", "Ida"],
}


@pytest.fixture
def guest(case):
    return case.rng.choice(GUESTS[case.split])


@pytest.fixture
def hours(case):
    """Two hours: at the first there are too few seats, and enough at the second."""
    half = case.rng.choice(["00", "30"])
    return [f"{hour}:{half}" for hour in case.rng.sample(range(17, 23), 2)]


@pytest.fixture
def restaurant(case, hours):
    full, open_ = hours
    return Restaurant({full: case.rng.randint(0, 1), open_: case.rng.randint(9, 20)})


@pytest.fixture
def agent(policy, restaurant):
    config = OpenAIConfig(
        policy.model, base_url=policy.base_url, api_key=policy.api_key
    )
    return make_host(restaurant, config)
