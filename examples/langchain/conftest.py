"""Measures the assistant of assistant.py, which stays as it is."""

import os

import pytest

import agentgym

# The module makes its OpenAI client when it is imported. It is never asked.
os.environ.setdefault("OPENAI_API_KEY", "unused")

from assistant import Calendar, Context, assistant

TITLES = {
    "train": ["Dentist", "Team meeting", "Yoga", "Choir", "Lunch with Eva", "Standup"],
    "held_out": ["Haircut", "Board meeting", "Swimming", "Call with Tom"],
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]


@pytest.fixture
def calendar(case):
    """A day with three events at different hours; the rest of the week is free."""
    calendar, rng = Calendar(), case.rng
    day = rng.choice(DAYS)
    hours = rng.sample(range(8, 18), 3)
    for title, hour in zip(rng.sample(TITLES[case.split], 3), hours, strict=True):
        calendar.add(title, day, f"{hour:02}:00")
    return calendar


@pytest.fixture
def agent(policy, calendar):
    return agentgym.redirect(assistant.bind(context=Context(calendar)), policy)
