"""The calendar: events in the user's time zone, with tools and real errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .errors import OfficeError
from .moments import as_utc, clock, converted, read_day, read_moment, read_zone, stamp
from .values import DAY_BEGINS, DAY_ENDS, TITLES, Values, at

LONGEST = 480


@dataclass
class Event:
    """An entry of the calendar, in the user's time.

    Attributes:
        own: Whether it was there before the episode.
    """

    id: str
    title: str
    start: datetime
    minutes: int
    own: bool = True

    @property
    def end(self) -> datetime:
        """By the same clock."""
        return self.start + timedelta(minutes=self.minutes)

    @property
    def day(self) -> str:
        """Such as `2027-05-04`."""
        return self.start.date().isoformat()


@dataclass(repr=False)
class Diary:
    """The events of a user.

    Attributes:
        zone: Where the user lives.
        changes: Names of the tools that changed something, in order.
        next_event: Id of the event that is made next.
    """

    values: Values
    changes: list[str]
    zone: ZoneInfo
    events: dict[str, Event] = field(default_factory=dict)
    next_event: str = ""

    def __post_init__(self) -> None:
        self.next_event = self.values.number("E")

    @property
    def booked(self) -> list[tuple[str, datetime, int]]:
        """What the events are that this episode has made, their starts and minutes."""
        return [
            (known_title(event.title), event.start, event.minutes)
            for event in self.events.values()
            if not event.own
        ]

    @property
    def starts(self) -> list[datetime]:
        """When the events begin that this episode has made."""
        return [start for _, start, _ in self.booked]

    def is_empty(self, day: date) -> bool:
        """Whether nothing begins on a day."""
        return not self._on(day)

    def add(
        self, title: str, start: datetime, minutes: int, *, own: bool = True
    ) -> Event:
        """Adds an event, whatever else is there.

        Args:
            title: What it is called.
            start: In the user's time.
            minutes: How long it takes.
            own: Whether it was there before the episode.
        """
        event = Event(self.next_event, title, start, minutes, own)
        self.next_event = self.values.number("E")
        self.events[event.id] = event
        return event

    def list_events(self, date: str) -> dict[str, Any]:
        """List the events of a day."""
        return {
            "events": [
                {
                    "title": event.title,
                    "id": event.id,
                    "start": clock(event.start),
                    "end": clock(event.end),
                }
                for event in self._on(read_day(date))
            ]
        }

    def free_slots(self, date: str, minutes: int) -> dict[str, Any]:
        """List the first free times of a working day."""
        day = read_day(date)
        _check_minutes(minutes)
        free, begins = [], at(day, DAY_BEGINS)
        for event in self._on(day):
            if event.start - begins >= timedelta(minutes=minutes):
                free.append(clock(begins))
            begins = max(begins, event.end)
        if at(day, DAY_ENDS) - begins >= timedelta(minutes=minutes):
            free.append(clock(begins))
        if not free:
            raise OfficeError(f"no {minutes} minutes are free on {date}")
        return {"free": free}

    def convert_time(self, time: str, zone: str) -> dict[str, Any]:
        """Tell a time of another zone in the zone of the user."""
        moment = converted(read_moment(time), read_zone(zone), self.zone)
        return {"time": stamp(moment), "zone": self.zone.key}

    def create_event(self, title: str, start: str, minutes: int) -> dict[str, Any]:
        """Add an event."""
        moment = read_moment(start)
        if not title.strip():
            raise OfficeError("the title is empty")
        _check_minutes(minutes)
        self._check_free(moment, minutes)
        event = self.add(title, moment, minutes, own=False)
        self.changes.append("create_event")
        return {"event": event.id}

    def move_event(self, event_id: str, start: str) -> dict[str, Any]:
        """Give an event another time."""
        event, moment = self._event(event_id), read_moment(start)
        self._check_free(moment, event.minutes, event)
        event.start = moment
        self.changes.append("move_event")
        return {"moved": event_id}

    def cancel_event(self, event_id: str) -> dict[str, Any]:
        """Remove an event."""
        del self.events[self._event(event_id).id]
        self.changes.append("cancel_event")
        return {"cancelled": event_id}

    def _on(self, day: date) -> list[Event]:
        events = [e for e in self.events.values() if e.start.date() == day]
        return sorted(events, key=lambda event: event.start)

    def _event(self, event_id: str) -> Event:
        if event_id not in self.events:
            raise OfficeError(f"no event {event_id}")
        return self.events[event_id]

    def _check_free(
        self, start: datetime, minutes: int, moved: Event | None = None
    ) -> None:
        # In universal time: an event may span the hour at which the clocks change.
        begins = as_utc(start, self.zone)
        for event in self.events.values():
            other = as_utc(event.start, self.zone)
            if (
                event is not moved
                and other < begins + timedelta(minutes=minutes)
                and begins < other + timedelta(minutes=event.minutes)
            ):
                times = f"from {clock(event.start)} to {clock(event.end)}"
                raise OfficeError(f"taken: {event.title} is {times}")


def known_title(title: str) -> str:
    """What an event is, however it is called: "Yoga with Rimon" is a yoga."""
    words = re.findall(r"\w+", title.lower())
    return next((word for word in words if word in TITLES), title)


def _check_minutes(minutes: int) -> None:
    if minutes <= 0:
        raise OfficeError("it would end before it starts: give minutes above 0")
    if minutes > LONGEST:
        raise OfficeError(f"too long: give at most {LONGEST} minutes")
