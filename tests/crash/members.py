"""The processes of the crash test, and how they are started: forked from one that has imported everything already."""

import asyncio
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import psycopg
import uvicorn
from fastapi import FastAPI
from psycopg.rows import dict_row

from servicekit import Every, Retention, Scheduler, create_scheduler
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.api.dependencies import SchedulerDependency
from servicekit.errors import StoreUnavailable
from tests.crash.journal import MEMBER, append_line
from tests.crash.keeping import artifacts_at, make_tasks, model
from tests.crash.targets import KINDS, SCHEDULE, WEIGHTS, find_call, tick
from tests.many_machines.machines import Machine

MAX_CONCURRENCY: Final = 16
GRACE_SECONDS: Final = 0.3
LONGEST_JOB_SECONDS: Final = 0.8
_KEEP_ALL: Final = Retention(max_age=None, max_count=None, max_result_bytes=None)

_context = multiprocessing.get_context("forkserver")
# With what features import when they are installed, which would else take each service a second.
_ROUTES: Final = [f"servicekit.{module}" for module in ("artifacts.routes", "tasks.routes", "ml.routes", "ml.feature")]
_STORES: Final = ["servicekit.stores.sqlite.store", "servicekit.stores.postgres.store"]
_context.set_forkserver_preload([__name__, *_STORES, "pydantic.v1", *_ROUTES])


Row = sqlite3.Row | dict[str, Any]
RowConnection = sqlite3.Connection | psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """The files of one crash test, and its jobs: in one of these files, or in a database on a server."""

    folder: Path
    server_url: str | None = None

    @property
    def database(self) -> Path:
        return self.folder / "jobs.db"

    @property
    def url(self) -> str:
        return self.server_url or f"sqlite:///{self.database}"

    @contextmanager
    def connect(self) -> Iterator["RowConnection"]:
        """A connection to the jobs, whose rows are mappings. What was changed is committed at the end of the block."""
        if self.server_url is None:
            with closing(sqlite3.connect(f"file:{self.database}?mode=rw", uri=True)) as connection, connection:
                connection.row_factory = sqlite3.Row
                yield connection
        else:
            with psycopg.connect(self.server_url, row_factory=dict_row) as server:
                server.execute("SET search_path TO servicekit")
                yield server

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def accepted(self) -> Path:
        """What workers have submitted by themselves: a line with id and kind after each answer."""
        return self.folder / "accepted"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def temporary(self) -> Path:
        """Where all processes of the test have their temporary files."""
        return self.folder / "tmp"


def random_kind(chance: random.Random) -> str:
    return chance.choices(KINDS, WEIGHTS)[0]


def random_seconds(chance: random.Random) -> float:
    return round(chance.uniform(0.02, LONGEST_JOB_SECONDS), 3)


class Member:
    """A process, from outside."""

    def __init__(self, kind: str, name: str, place: Place, seed: int, machine: Machine | None = None) -> None:
        self.kind = kind
        self.name = name
        self.port: int | None = None
        self.is_ready = asyncio.Event()
        self.has_ended = asyncio.Event()
        self.ended_not_before_ns: int | None = None
        """When it was sent the first signal that ends it."""
        self.may_exit = False
        """Whether it was asked to stop, and not only killed."""
        self.was_frozen = False
        """Whether it was stopped for so long that others may have taken its jobs over, and went on after that."""
        ours, theirs = _context.Pipe(duplex=False)
        main = {"service": _run_service, "worker": _run_worker}[kind]
        arguments = (place, name, seed, theirs, machine)
        self._process: ForkServerProcess = _context.Process(target=main, args=arguments, name=name)
        self._process.start()
        theirs.close()
        self._connection = ours
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._hear)
        self._loop.add_reader(self._process.sentinel, self._bury)

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        if self.has_ended.is_set() or self._process.pid is None:
            return
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.ended_not_before_ns = self.ended_not_before_ns or time.monotonic_ns()
            self.may_exit |= number is signal.SIGTERM
        with suppress(ProcessLookupError):  # it has ended, and that is about to be noticed
            os.kill(self._process.pid, number)

    def _hear(self) -> None:
        try:
            self.port = self._connection.recv()
            self.is_ready.set()
        except EOFError:
            self._loop.remove_reader(self._connection.fileno())

    def _bury(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._loop.remove_reader(self._connection.fileno())
        self._process.join()
        self._connection.close()
        self.has_ended.set()


def _prepare(place: Place, name: str, machine: Machine | None) -> None:
    if machine is not None:
        machine.enter()
    os.environ[MEMBER] = name
    place.temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(place.temporary)
    form = f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(filename=place.log, level=logging.WARNING, format=form, force=True)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=partial(_end_with, parent.sentinel), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when the one that started it has ended, whatever happens to be running."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def create_app(place: Place) -> FastAPI:
    """A service as a user would write it; its endpoints submit jobs of every kind."""
    app = (
        ServiceBuilder(info=ServiceInfo(display_name="Crash test"))
        .with_jobs(url=place.url, max_concurrency=MAX_CONCURRENCY, shutdown_grace=GRACE_SECONDS, retention=_KEEP_ALL)
        .with_health()
        .with_artifacts(artifacts_at(place.folder))
        .with_tasks(make_tasks(place.folder))
        .with_ml(model)
        .with_schedule(SCHEDULE, Every(1), tick, str(place.journal), 0.0)
        .build()
    )

    @app.post("/submit/{kind}", status_code=202)
    async def submit(kind: str, seconds: float, submit: SubmitJob) -> JobSubmitted:
        target, args = find_call(kind, place.journal, seconds)
        return await submit(target, *args)

    @app.post("/cancel/{job_id}")
    async def cancel(job_id: str, scheduler: SchedulerDependency) -> bool:
        return await scheduler.cancel(job_id)

    return app


class _Server(uvicorn.Server):
    """Says which port it has when it is ready."""

    def __init__(self, config: uvicorn.Config, connection: Connection) -> None:
        super().__init__(config)
        self._connection = connection

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._connection.send(self.servers[0].sockets[0].getsockname()[1])


def _run_service(place: Place, name: str, _seed: int, connection: Connection, machine: Machine | None) -> None:
    _prepare(place, name, machine)
    _Server(uvicorn.Config(create_app(place), port=0, log_config=None), connection).run()


def _run_worker(place: Place, name: str, seed: int, connection: Connection, machine: Machine | None) -> None:
    _prepare(place, name, machine)
    asyncio.run(_work(place, random.Random(seed), connection))


async def _work(place: Place, chance: random.Random, connection: Connection) -> None:
    """Run jobs, and submit some, until told to stop."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    scheduler = create_scheduler(
        place.url, max_concurrency=MAX_CONCURRENCY, shutdown_grace=GRACE_SECONDS, retention=_KEEP_ALL
    )
    async with scheduler:
        connection.send(0)
        while not stopped.is_set():
            try:
                async with asyncio.timeout(chance.uniform(0, 0.3)):
                    await stopped.wait()
            except TimeoutError:
                await _submit(place, chance, scheduler)


async def _submit(place: Place, chance: random.Random, scheduler: Scheduler) -> None:
    kind = random_kind(chance)
    target, args = find_call(kind, place.journal, random_seconds(chance))
    try:
        job_id = await scheduler.add_job(target, *args)
    except StoreUnavailable as error:
        logging.getLogger("crash").warning("Not submitted: %s", error)
    else:
        append_line(place.accepted, job_id, kind)


@dataclass
class Members:
    """All processes that there are, and were."""

    place: Place
    chance: random.Random
    machines: Sequence[Machine] = ()
    """Where workers run, if not here, where services do."""
    alive: list[Member] = field(default_factory=list)
    ended: list[Member] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def start(self, kind: str) -> Member:
        name = f"{kind}-{len(self.alive) + len(self.ended)}"
        machine = self.chance.choice(self.machines) if self.machines and kind == "worker" else None
        member = Member(kind, name, self.place, self.chance.randrange(1 << 30), machine)
        self.alive.append(member)
        return member

    async def wait_ready(self, member: Member) -> bool:
        """Wait until the process is ready; `False`: it has ended before."""
        waits = [asyncio.ensure_future(event.wait()) for event in (member.is_ready, member.has_ended)]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        await self._tell()
        return member.is_ready.is_set() and not member.has_ended.is_set()

    async def bury(self, member: Member, seconds: float) -> bool:
        """Wait until the process has ended; `False`: it does not."""
        try:
            async with asyncio.timeout(seconds):
                await member.has_ended.wait()
        except TimeoutError:
            return False
        self.alive.remove(member)
        self.ended.append(member)
        await self._tell()
        return True

    async def find_service(self) -> Member:
        """Any service that seems to be ready; it may be dead when it is asked."""
        async with self.changed:
            await self.changed.wait_for(self._ready_services)
            return self.chance.choice(self._ready_services())

    def _ready_services(self) -> list[Member]:
        return [
            member
            for member in self.alive
            if member.port and not member.has_ended.is_set() and member.ended_not_before_ns is None
        ]

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()
