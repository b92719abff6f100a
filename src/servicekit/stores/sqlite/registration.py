"""The registration of this process in the file."""

import os
import socket
from contextlib import suppress
from math import inf
from pathlib import Path

from servicekit.errors import StoreUnavailable
from servicekit.jobs.workers import Readiness, WorkerRecord
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.readiness import read_problems, read_runners
from servicekit.stores.durable.requests import Member, NextMoment
from servicekit.stores.durable.times import find_moment
from servicekit.stores.process_name import name_of_process
from servicekit.stores.sqlite.database import create_file
from servicekit.stores.sqlite.membership import (
    ListedProcess,
    RegistrationRequest,
    leave,
    list_listed,
    list_members,
    register,
)
from servicekit.stores.sqlite.ownership import check_ownership, warn_of_stranger
from servicekit.stores.sqlite.processes import ProcessLock, is_alive, is_lock_of, remove_leftovers


class ProcessRegistration:
    """A number in the file's list of processes, and a lock that shows others that this process lives."""

    def __init__(self, path: Path, service: str | None = None) -> None:
        self._path = path
        self._service = service
        self.runs_jobs = False
        """Whether other processes may leave jobs to this one: from its first claim on."""
        self.told_readiness: Readiness | None = None
        self.number = 0
        """0: this process is not on the list."""
        self.lock: ProcessLock | None = None

    @property
    def guard(self) -> int | None:
        return None if self.lock is None else self.lock.descriptor

    @property
    def held_seconds(self) -> float:
        return inf  # the operating system keeps the lock for as long as this process lives

    @property
    def is_lost(self) -> bool:
        return False  # a claim finds that out: see `ProcessForgotten`

    def find_next(self) -> NextMoment | None:
        return None

    def prepare(self) -> bool:
        """Take the lock, and make the file if there is none. Return whether the lock is new.

        `StoreUnavailable` if that fails.
        """
        is_new = self.lock is None
        try:
            check_ownership(self._path)  # nothing is made beside what is not to be used
            warn_of_stranger(self._path)
            create_file(self._path)
            self.lock = self.lock or ProcessLock(self._path)
        except StoreUnavailable:
            raise
        except OSError as error:
            raise StoreUnavailable(str(self._path), f"its folder cannot be written ({error.strerror}).") from error
        return is_new

    async def take(self, database: Database, now: str) -> None:
        """Register this process, unless it is registered already."""
        assert self.lock is not None
        registration = RegistrationRequest(
            self.number or None, os.getpid(), self.lock.path.name, now, self._service, socket.gethostname()
        )
        self.number, self.told_readiness = await database.write(register, registration), None

    async def take_another(self, database: Database, now: str) -> None:
        """Register this process anew: others took it for dead, and have taken its jobs over."""
        self.number, self.runs_jobs = 0, False
        await self.take(database, now)

    async def renew(self, database: Database, now: str) -> None:
        """Make a new lock file if somebody has removed it."""
        if self.lock is not None and not self.lock.is_there:
            old, self.lock = self.lock, ProcessLock(self._path)
            await self.take(database, now)
            old.close()

    async def leave(self, database: Database) -> None:
        """Leave the list, unless attempts still run: no other process may start those again while this one lives."""
        if await database.write(leave, self.number):
            self.abandon()

    def abandon(self) -> None:
        """Take the sign of life away: this process works no more."""
        if self.lock is not None:
            self.lock.release()
        self.lock, self.number, self.runs_jobs, self.told_readiness = None, 0, False, None

    async def list_dead(self, database: Database) -> list[Member]:
        """The processes that have died and whose jobs must be taken over."""
        members = await database.read(list_members, None)
        return [member for member in members if member.id != self.number and not self._is_alive(member)]

    def _is_alive(self, member: Member) -> bool:
        if member.lock is None or not is_lock_of(self._path, member.lock):
            return False
        return is_alive(self._path.with_name(member.lock), member.pid)

    async def list_living(self, database: Database) -> list[WorkerRecord]:
        """The processes that are alive, this one included, in any order."""
        listed = await database.read(list_listed, None)
        found = [self._tell_of(process) for process in listed if self._is_alive(process.member)]
        return [worker for worker in found if worker is not None]

    def _tell_of(self, process: ListedProcess) -> WorkerRecord | None:
        """`None` if another program has written what makes no sense."""
        started_at, number = find_moment(process.started_at), process.member.id
        if started_at is None:
            return None
        name = name_of_process(process.member.pid, process.host if isinstance(process.host, str) else None)
        is_stopping, runs_jobs = bool(process.is_stopping), bool(process.runs_jobs)
        return WorkerRecord(
            name, started_at, is_stopping, runs_jobs, process.running, number == self.number,
            runners=read_runners(process.runners), problems=read_problems(process.problems),
        )  # fmt: skip

    def forget(self, member: Member) -> None:
        if member.lock is not None and is_lock_of(self._path, member.lock):
            with suppress(OSError):
                self._path.with_name(member.lock).unlink()

    def remove_leftovers(self) -> None:
        remove_leftovers(self._path)
