"""The storm on many machines: the server restarts and dies as well, and cables are pulled out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.crash.members import Member, Place
from tests.crash.storm import Storm
from tests.many_machines.machines import Machine, find_obstacle, make_machines
from tests.postgres import PostgresServer, run_postgres

_LONGEST_HOLE_SECONDS: Final = 12.0
"""Longer than a lease: whoever is cut off for so long has lost its jobs."""
_LEASE_SECONDS: Final = 20.0
"""After so long all processes that are dead have been noticed to be."""


class StormOfManyMachines(Storm):
    """Services here, workers on other machines, and a server to which anything may happen."""

    longest_pause_seconds = 12.0
    stop_seconds = 30.0

    def __init__(self, folder: Path, seed: int, server: PostgresServer, url: str, machines: Sequence[Machine]) -> None:
        super().__init__(folder, seed, Place(folder, url))
        self.members.machines = machines
        self._server = server

    def _hazards(self) -> Sequence[Coroutine[object, object, None]]:
        return [self._trouble_server(), *map(self._pull_cable, self.members.machines)]

    async def _trouble_server(self) -> None:
        troubles: dict[Callable[[], Awaitable[None]], int] = {
            self._restart: 3, self._crash: 2, self._kill_backend: 3, self._freeze: 1,
        }  # fmt: skip
        while not self._is_calm.is_set():
            await self._pass(self._chance.expovariate(1 / 3))
            (trouble,) = self._chance.choices(list(troubles), list(troubles.values()))
            self.story.hazards[trouble.__name__.strip("_") + " of the server"] += 1
            await trouble()

    async def _restart(self) -> None:
        await asyncio.to_thread(self._server.restart, "fast")

    async def _crash(self) -> None:
        await asyncio.to_thread(self._server.stop, "immediate")
        await self._pass(self._chance.choice([0.0, 0.0, 0.5, 4.0]))
        await asyncio.to_thread(self._server.start)

    async def _kill_backend(self) -> None:
        await asyncio.to_thread(self._server.kill_backend)

    async def _freeze(self) -> None:
        self._server.freeze()
        await self._pass(self._chance.uniform(0.2, _LONGEST_HOLE_SECONDS))
        self._server.thaw()

    async def _pull_cable(self, machine: Machine) -> None:
        while not self._is_calm.is_set():
            await self._pass(self._chance.expovariate(1 / 10))
            self.story.hazards["cables pulled"] += 1
            machine.unplug()
            await self._pass(self._chance.uniform(0.2, _LONGEST_HOLE_SECONDS))
            machine.plug_in()

    def _is_expected(self, member: Member) -> bool:
        """One that begins while there is no server may give up."""
        return super()._is_expected(member) or not member.is_ready.is_set()

    async def _drain(self) -> None:
        await super()._drain()
        end = time.monotonic() + _LEASE_SECONDS
        while self._count_processes() > 1 and time.monotonic() < end:
            await asyncio.sleep(0.2)

    def _count_processes(self) -> int:
        with self.place.connect() as connection:
            return len(list(connection.execute("SELECT 1 FROM processes")))


@contextmanager
def prepare_storm(folder: Path, seed: int) -> Iterator[StormOfManyMachines]:
    """A storm with a server, and with machines where they are to be had."""
    if find_obstacle() is None:
        with (
            make_machines(2) as network,
            run_postgres(hosts=["127.0.0.1", network.host]) as server,
            server.new_database() as url,
        ):
            yield StormOfManyMachines(folder, seed, server, url.replace("127.0.0.1", network.host), network.machines)
    else:
        with run_postgres() as server, server.new_database() as url:
            yield StormOfManyMachines(folder, seed, server, url, ())
