"""This process among those that work on the file."""

import os
from contextlib import suppress
from pathlib import Path

from servicekit.errors import StoreUnavailable
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.requests import Member
from servicekit.stores.sqlite.database import create_file
from servicekit.stores.sqlite.membership import RegistrationRequest, leave, list_members, register
from servicekit.stores.sqlite.ownership import check_ownership, warn_of_stranger
from servicekit.stores.sqlite.processes import ProcessLock, is_alive, is_lock_of, remove_leftovers


class ProcessRegistration:
    """A number in the file, and a lock by which others see that its process lives."""

    def __init__(self, path: Path, service: str | None = None) -> None:
        self._path = path
        self._service = service
        self.runs_jobs = False
        """Whether others know that jobs can be left to this process; they do from its first claim on."""
        self.number = 0
        """0: there is none."""
        self.lock: ProcessLock | None = None

    @property
    def guard(self) -> int | None:
        return None if self.lock is None else self.lock.descriptor

    def prepare(self) -> bool:
        """Hold a lock from now on, and make the file if it is not there; say whether the lock is new.

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
        """Have a number, or keep the one that there is."""
        assert self.lock is not None
        registration = RegistrationRequest(self.number or None, os.getpid(), self.lock.path.name, now, self._service)
        self.number = await database.write(register, registration)

    async def take_another(self, database: Database, now: str) -> None:
        """Have a new number: others took this process for dead, and its jobs are theirs."""
        self.number, self.runs_jobs = 0, False
        await self.take(database, now)

    async def renew(self, database: Database, now: str) -> None:
        """Make another lock if somebody has removed the file by which others see that this process lives."""
        if self.lock is not None and not self.lock.is_there:
            old, self.lock = self.lock, ProcessLock(self._path)
            await self.take(database, now)
            old.close()

    async def leave(self, database: Database) -> None:
        """Give it up, unless attempts still run: nobody may start those again while this process lives."""
        if await database.write(leave, self.number):
            self.abandon()

    def abandon(self) -> None:
        """Let others see that this process works no more."""
        if self.lock is not None:
            self.lock.release()
        self.lock, self.number, self.runs_jobs = None, 0, False

    async def list_dead(self, database: Database) -> list[Member]:
        """The processes whose jobs somebody has to take over."""
        members = await database.read(list_members, None)
        return [member for member in members if member.id != self.number and not self._is_alive(member)]

    def _is_alive(self, member: Member) -> bool:
        if member.lock is None or not is_lock_of(self._path, member.lock):
            return False
        return is_alive(self._path.with_name(member.lock), member.pid)

    def forget(self, member: Member) -> None:
        if member.lock is not None and is_lock_of(self._path, member.lock):
            with suppress(OSError):
                self._path.with_name(member.lock).unlink()

    def remove_leftovers(self) -> None:
        remove_leftovers(self._path)
