"""What was counted of jobs, in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime

from servicekit.jobs.activity import KEPT_MINUTES, ActivityMinute, minute_of


class MemoryActivity:
    """The `ActivityStore` of a store in memory."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kept: dict[tuple[int, str, str | None], ActivityMinute] = {}

    async def put_activity(self, minutes: Sequence[ActivityMinute]) -> None:
        self._kept |= {(each.minute, each.source, each.owner): each for each in minutes}
        present = minute_of(self._now())
        for key in [key for key in self._kept if abs(key[0] - present) > KEPT_MINUTES]:
            del self._kept[key]

    async def list_activity(self, owner: str | None, since: int) -> list[ActivityMinute]:
        return [each for each in self._kept.values() if each.minute >= since and each.owner == owner]
