"""Days, times and zones as tools read and write them: `2027-05-04 09:30`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from .errors import OfficeError

EXAMPLE = "2027-05-04 09:30"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:00)?")


def stamp(moment: datetime) -> str:
    """A moment as `2027-05-04 09:30`."""
    return moment.strftime("%Y-%m-%d %H:%M")


def clock(moment: datetime) -> str:
    """Its time as `09:30`."""
    return moment.strftime("%H:%M")


def read_moment(text: str) -> datetime:
    """A moment that an agent wrote; it names no zone."""
    try:
        if not MOMENT.fullmatch(text.strip()):
            raise ValueError(text)
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise OfficeError(f"{text} is no time: write it as {EXAMPLE}") from None


def same(moment: datetime) -> Callable[[str], bool]:
    """Whether what an agent wrote is this moment, for `run.called`."""

    def is_same(text: str) -> bool:
        try:
            return read_moment(text) == moment
        except OfficeError:
            return False

    return is_same


def read_day(text: str) -> date:
    """A day that an agent wrote."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise OfficeError(f"{text} is no date: write it as {EXAMPLE[:10]}") from None


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its name."""
    try:
        return ZoneInfo(name)
    # A name that is a folder, such as Europe, is an OSError.
    except (LookupError, OSError, ValueError):
        raise OfficeError(
            f"no time zone {name}: give one such as Europe/Paris"
        ) from None


def as_utc(moment: datetime, zone: ZoneInfo) -> datetime:
    """When a local time is, everywhere; refuses one that the clocks skip."""
    universal = moment.replace(tzinfo=zone).astimezone(UTC)
    if universal.astimezone(zone).replace(tzinfo=None) != moment:
        raise OfficeError(
            f"{stamp(moment)} does not exist in {zone.key}: the clocks skip it"
        )
    return universal


def converted(moment: datetime, zone: ZoneInfo, to: ZoneInfo) -> datetime:
    """What the clocks of one zone show at a local time of another."""
    return as_utc(moment, zone).astimezone(to).replace(tzinfo=None)


def skipped_hours(zone: ZoneInfo, year: int) -> list[datetime]:
    """The full hours of a year that the zone's clocks skip: daylight saving begins."""
    days = (datetime(year, 1, 1) + timedelta(days=n) for n in range(365))
    return [
        hour
        for day in days
        if _offset(day, zone) < _offset(day + timedelta(days=1), zone)
        for hour in (day + timedelta(hours=n) for n in range(24))
        if _is_skipped(hour, zone)
    ]


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return zone.utcoffset(moment) or timedelta()


def _is_skipped(moment: datetime, zone: ZoneInfo) -> bool:
    try:
        as_utc(moment, zone)
    except OfficeError:
        return True
    return False
