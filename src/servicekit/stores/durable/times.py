"""Writes and reads times."""

from datetime import UTC, datetime
from typing import Final

from servicekit.stores.durable.nonsense import lenient


def time_text(moment: datetime) -> str:
    """A time as it is stored: of one length, so that text sorts as time does."""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def write_time(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read_moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_NO_TIME: Final[datetime | None] = None
find_time: Final = lenient(read_time, _NO_TIME)
find_moment: Final = lenient(_read_moment, _NO_TIME)
"""The same of a time that can be compared with others. One without a zone is UTC, as all are that are stored."""
