"""The registration of this process in the database."""

import os
import secrets

from servicekit.jobs.workers import Readiness, WorkerRecord
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.requests import Member, NextMoment
from servicekit.stores.postgres.leases import Lease, find_machine, find_start
from servicekit.stores.postgres.membership import (
    RegistrationRequest,
    leave,
    list_strangers,
    list_workers,
    mark_dead,
    register,
)
from servicekit.stores.postgres.server_time import uptime
from servicekit.stores.process_name import name_of_process

# A process that died just when others had taken it for dead can leave jobs to a number that is not on the list.
_STRANGERS_SECONDS = 30.0


class ProcessRegistration:
    """A number in the list of processes, and a lease that shows others that this process lives."""

    guard = None  # the work of a process that has died ends before its lease is over

    def __init__(self, lease: Lease, service: str | None = None) -> None:
        self.lease = lease
        self._service = service
        self.runs_jobs = False
        """Whether other processes may leave jobs to this one: from its first claim on."""
        self.told_readiness: Readiness | None = None
        self.number = 0
        """0: this process is not on the list. It is the number of all that it writes, from before it is on the list."""
        self.shard = 0
        """Its rows in `counts`."""
        self._strangers: set[int] = set()
        self._strangers_at = float("-inf")

    @property
    def held_seconds(self) -> float:
        return self.lease.held_seconds

    @property
    def is_lost(self) -> bool:
        return self.lease.is_lost or self.lease.number != self.number  # it could not join anew yet

    def find_next(self) -> NextMoment | None:
        return self.lease.find_next()

    def prepare(self) -> bool:
        is_new = self.number == 0
        if is_new:
            self.number = secrets.randbits(62) + 1
        return is_new

    async def take(self, database: Database, now: str) -> None:
        """Register this process, unless it is registered already."""
        sent_at = uptime()
        pid, name = os.getpid(), name_of_process()
        request = RegistrationRequest(self.number, name, find_machine(), pid, find_start(pid), self._service)
        shard = await database.write(register, request)
        if shard is None:  # others took it for dead
            await self.take_another(database, now)
            return
        self.shard, self.told_readiness = shard, None
        self.lease.begin(self.number, sent_at)
        await database.read(self.lease.look, None)

    async def take_another(self, database: Database, now: str) -> None:
        """Register this process anew: others took it for dead, and have taken its jobs over."""
        self.abandon()
        self.prepare()
        await self.take(database, now)

    async def renew(self, database: Database, now: str) -> None:
        """The thread that listens does that."""

    async def list_dead(self, database: Database) -> list[Member]:
        """Mark the processes that have died, and return those whose jobs must be taken over."""
        suspects = self.lease.list_suspects()
        dead = await database.write(mark_dead, (suspects, self.lease.terms)) if suspects else []
        return dead + await self._find_strangers(database)

    async def _find_strangers(self, database: Database) -> list[Member]:
        """Numbers that have jobs and are not on the list, at two looks: at one, they may be just joining."""
        if uptime() - self._strangers_at < _STRANGERS_SECONDS:
            return []
        self._strangers_at, before = uptime(), self._strangers
        self._strangers = set(await database.read(list_strangers, self.number))
        return [Member(number, None, None) for number in self._strangers & before]

    async def list_living(self, database: Database) -> list[WorkerRecord]:
        """The processes that are alive, this one included, in any order."""
        return await database.read(list_workers, self.number)

    def forget(self, member: Member) -> None:
        """Nothing is left of it: its row went with its last job."""

    def remove_leftovers(self) -> None:
        """There are none."""

    async def leave(self, database: Database) -> None:
        """Leave the list, unless attempts still run."""
        if await database.write(leave, self.number):
            self.abandon()

    def abandon(self) -> None:
        """This process works no more: it renews its lease no more."""
        self.lease.end()
        self.number, self.shard, self.runs_jobs, self.told_readiness = 0, 0, False, None
