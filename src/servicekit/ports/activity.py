"""What has become of jobs, minute by minute, as processes have counted it."""

from collections.abc import Sequence
from typing import Protocol

from servicekit.jobs.activity import ActivityMinute


class ActivityStore(Protocol):
    """Keeps what processes have counted for a few hours. What holds for all parts is in `ports.store`.

    It is about jobs, and is no part of them: nothing of it is a change, and nothing is lost with it but numbers.
    """

    async def put_activity(self, minutes: Sequence[ActivityMinute]) -> None:
        """Keep these minutes, each in the place of what the same source has given for the same minute and owner.

        Minutes that are more than `KEPT_MINUTES` old, or as far in the future, are forgotten, whoever has counted them.
        """
        ...

    async def list_activity(self, owner: str | None, since: int) -> list[ActivityMinute]:
        """What all processes have counted since the minute `since`, of the jobs of this owner; `None`: of all jobs.

        What another version or another program has written and makes no sense here is left out.
        """
        ...
