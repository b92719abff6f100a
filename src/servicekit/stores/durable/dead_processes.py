"""The processes that have died, and whether all that they ran has ended."""

import time

from servicekit.jobs.cluster import GONE_SECONDS
from servicekit.stores.durable.requests import Member
from servicekit.stores.durable.session import StoreSession


class DeadProcesses:
    """Knows since when each of them is seen to be dead.

    What a process runs on its own machine ends with it: see `Registration`. What it runs on a cluster may go on for
    `GONE_SECONDS`, if its gateway has died with it, stands still, or has lost the cluster.
    """

    def __init__(self, session: StoreSession) -> None:
        self._database = session.database
        self._runs_on_cluster = session.statements.membership.runs_on_cluster
        self._since: dict[int, float] = {}

    async def list_ended(self) -> list[Member]:
        """Those of which nothing runs any more, so that their jobs can be taken over."""
        dead, now = await self._database.registration.list_dead(self._database), time.monotonic()
        self._since = {member.id: self._since.get(member.id, now) for member in dead}
        return [member for member in dead if not await self._may_work(member, now)]

    async def _may_work(self, member: Member, now: float) -> bool:
        is_fresh = now - self._since[member.id] < GONE_SECONDS
        return is_fresh and await self._database.read(self._runs_on_cluster, member.id)
