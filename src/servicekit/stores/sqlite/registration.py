"""This process among those that work on the file."""

import os
from contextlib import suppress
from pathlib import Path

from servicekit.errors import StoreUnavailable
from servicekit.stores.sqlite.database import create_file
from servicekit.stores.sqlite.database_thread import Reader
from servicekit.stores.sqlite.membership import Member, RegistrationRequest, leave, list_members, register
from servicekit.stores.sqlite.ownership import check_ownership, warn_of_stranger
from servicekit.stores.sqlite.processes import ProcessLock, is_alive, is_lock_of
from servicekit.stores.sqlite.writer import Writer


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

    async def take(self, writer: Writer, now: str) -> None:
        """Have a number, or keep the one that there is."""
        assert self.lock is not None
        registration = RegistrationRequest(self.number or None, os.getpid(), self.lock.path.name, now, self._service)
        self.number = await writer.ask(register, registration)

    async def take_another(self, writer: Writer, now: str) -> None:
        """Have a new number: others took this process for dead, and its jobs are theirs."""
        self.number, self.runs_jobs = 0, False
        await self.take(writer, now)

    async def renew_lock(self, writer: Writer, now: str) -> None:
        """Make another lock if somebody has removed the file by which others see that this process lives."""
        if self.lock is not None and not self.lock.is_there:
            old, self.lock = self.lock, ProcessLock(self._path)
            await self.take(writer, now)
            old.close()

    async def leave(self, writer: Writer) -> None:
        """Give it up, unless attempts still run: nobody may start those again while this process lives."""
        if await writer.ask(leave, self.number):
            self.abandon()

    def abandon(self) -> None:
        """Let others see that this process works no more."""
        if self.lock is not None:
            self.lock.release()
        self.lock, self.number, self.runs_jobs = None, 0, False

    async def list_dead(self, reader: Reader) -> list[Member]:
        """The processes whose jobs somebody has to take over."""
        members = await reader.ask(list_members, None)
        return [member for member in members if member.id != self.number and not self._is_alive(member)]

    def _is_alive(self, member: Member) -> bool:
        if member.lock is None or not is_lock_of(self._path, member.lock):
            return False
        return is_alive(self._path.with_name(member.lock), member.pid)

    def remove_lock_of(self, member: Member) -> None:
        if member.lock is not None and is_lock_of(self._path, member.lock):
            with suppress(OSError):
                self._path.with_name(member.lock).unlink()
