"""The storm: processes come and go, and clients go on asking."""

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx
import psycopg

from servicekit import create_scheduler
from servicekit.errors import JobNotFound
from tests.crash.keeping import CONTENTS, hash_of
from tests.crash.members import Member, Members, Place, random_kind, random_seconds
from tests.crash.readers import Reader
from tests.crash.ticks import note_ticks

FREEZING_SECONDS: Final = 5.0
"""Who stands still for longer may find that others have taken its jobs over."""
SLOTS: Final = ("service", "service", "worker", "worker")
_CLIENTS: Final = 4
_MEAN_LIFE_SECONDS: Final = 0.7
_DRAIN_SECONDS: Final = 90.0
_READER_SECONDS: Final = 30.0
_MOST_WAITING: Final = 150
_MOST_READERS: Final = 60


@dataclass
class Story:
    """All that clients know: what was acknowledged, asked for and seen."""

    accepted: dict[str, str] = field(default_factory=dict)
    """The kind of each job that was acknowledged."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    """The jobs that were acknowledged for each idempotency key."""
    canceled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    """Jobs whose deletion was asked for, whether that was answered or not."""
    uploaded: dict[str, str] = field(default_factory=dict)
    """The hash of each upload that was acknowledged."""
    deleted_artifacts: set[str] = field(default_factory=set)
    """Artifacts whose deletion was asked for, whether that was answered or not."""
    uploads_begun: int = 0
    most_uploads_at_once: int = 0
    readers: list[Reader] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kills: int = 0
    terminations: int = 0
    pauses: int = 0
    hazards: Counter[str] = field(default_factory=Counter)
    """What else has gone wrong."""


class Storm:
    """Random processes, random signals, random requests, for a time; then calm."""

    slots: ClassVar[Sequence[str]] = SLOTS
    clients: ClassVar[int] = _CLIENTS
    mean_life_seconds: ClassVar[float] = _MEAN_LIFE_SECONDS
    largest_upload: ClassVar[int] = 300_000
    longest_pause_seconds: ClassVar[float] = 1.5
    stop_seconds: ClassVar[float] = 10.0
    """How long a process may take to end."""

    def __init__(self, folder: Path, seed: int, place: Place | None = None) -> None:
        self.place = place or Place(folder)
        self.story = Story()
        self._chance = random.Random(seed)
        self.members = Members(self.place, random.Random(seed + 1))
        self._is_calm = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()
        self._keys = 0
        self._waiting = 0
        self._uploading = 0
        self._config_id: str | None = None

    async def rage(self, seconds: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Go on for this long, or until there was enough of it; then let everything come to its end."""
        await note_ticks(self.place)
        async with httpx.AsyncClient(timeout=30) as self._http, asyncio.TaskGroup() as self._readers:
            async with asyncio.TaskGroup() as tasks:
                for kind in self.slots:
                    tasks.create_task(self._fill_slot(kind))
                clients = [tasks.create_task(self._be_client()) for _ in range(self.clients)]
                tasks.create_task(self._watch_load())
                hazards = [tasks.create_task(hazard) for hazard in self._hazards()]
                await self._wait_for_end(time.monotonic() + seconds, is_enough)
                self._is_calm.set()
                await asyncio.gather(*hazards)
                healthy = self.members.start("service")
                assert await self.members.wait_ready(healthy), self.place.log.read_text()
                await asyncio.wait(clients)
            await self._drain()
            await self._wait_for_readers()
        healthy.send(signal.SIGTERM)
        await self._bury(healthy)

    def _hazards(self) -> Sequence[Coroutine[object, object, None]]:
        """What else goes wrong, until it is calm."""
        return ()

    async def _wait_for_readers(self) -> None:
        """Every job has ended, and every reader must have seen it."""
        if self._reading:
            await asyncio.wait(self._reading, timeout=_READER_SECONDS)
        for reader in self.story.readers:
            if reader.end is None:
                reader.end = "stuck"
                reader.problems.append(f"it never came to an end: {reader.seen}")
        for task in self._reading:
            task.cancel()

    async def _wait_for_end(self, end: float, is_enough: Callable[[], bool]) -> None:
        while (left := end - time.monotonic()) > 0 and not is_enough():
            await asyncio.sleep(min(left, 0.05))

    # Processes

    async def _fill_slot(self, kind: str) -> None:
        """One process after the other, none of which lives long."""
        while not self._is_calm.is_set():
            member = self.members.start(kind)
            starting = asyncio.ensure_future(self.members.wait_ready(member))
            if self._chance.random() < 0.15:
                await self._pass(self._chance.uniform(0, 0.4))  # it may not even have begun
            else:
                await starting
                await self._pass(self._chance.expovariate(1 / self.mean_life_seconds))
            await self._end(member)
            await starting

    async def _pass(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_calm.wait(), seconds)

    async def _end(self, member: Member) -> None:
        fate = self._chance.random()
        if fate < 0.1:
            self.story.pauses += 1
            member.send(signal.SIGSTOP)
            seconds = self._chance.uniform(0.1, self.longest_pause_seconds)
            member.was_frozen = seconds > FREEZING_SECONDS
            await self._pass(seconds)
            if self._chance.random() < 0.6:
                member.send(signal.SIGCONT)
                await self._pass(self._chance.uniform(0, 0.5))
        if 0.05 < fate < 0.2 and not self._is_calm.is_set():
            self.story.terminations += 1
            member.send(signal.SIGTERM)
            member.send(signal.SIGCONT)
            if self._chance.random() < 0.6:
                await self._bury(member)
                return
            await self._pass(self._chance.uniform(0, 1))
        if not member.has_ended.is_set():
            self.story.kills += 1
            member.send(signal.SIGKILL)
        await self._bury(member)

    async def _bury(self, member: Member) -> None:
        if not await self.members.bury(member, self.stop_seconds):
            self.story.problems.append(f"{member.name} does not end")
            member.send(signal.SIGKILL)
            await self.members.bury(member, self.stop_seconds)
        if not self._is_expected(member):
            self.story.problems.append(f"{member.name} has ended by itself, with {member.exit_code}")

    def _is_expected(self, member: Member) -> bool:
        """Whether it has ended because it was told to."""
        expected = {-signal.SIGKILL, *((0, -signal.SIGTERM) if member.may_exit else ())}
        return member.exit_code in expected and member.ended_not_before_ns is not None

    # Clients

    async def _be_client(self) -> None:
        """Ask for one thing after the other."""
        actions = self._actions()
        while not self._is_calm.is_set():
            await self._pass(self._chance.uniform(0, 0.08))
            (action,) = self._chance.choices(list(actions), list(actions.values()))
            try:
                await action()
            except httpx.TransportError:
                await asyncio.sleep(0.01)  # the service is dead, and may not be known to be for a moment

    def _actions(self) -> dict[Callable[[], Awaitable[object]], int]:
        """What a client asks for, and how often."""
        return {
            self._submit: 12, self._submit_with_key: 2, self._cancel: 1, self._delete: 1, self._look: 2,
            self._upload: 3, self._delete_artifact: 1, self._read_artifact: 1, self._execute: 2, self._train: 1,
        }  # fmt: skip

    async def _request(self, method: str, path: str, *expected: int, **options: Any) -> httpx.Response | None:
        member = await self.members.find_service()
        url = f"http://127.0.0.1:{member.port}{path}"
        response = await self._http.request(method, url, **options)
        if response.status_code in expected:
            return response
        if response.status_code != 503:
            self.story.problems.append(f"{method} {path} was answered with {response.status_code}: {response.text}")
        return None

    async def _submit(self, key: str | None = None, kind: str | None = None, seconds: float | None = None) -> bool:
        if self._waiting > _MOST_WAITING and key is None:
            return False
        kind, seconds = kind or random_kind(self._chance), seconds or random_seconds(self._chance)
        headers = {"Idempotency-Key": key} if key else {}
        response = await self._request("POST", f"/submit/{kind}?seconds={seconds}", 202, headers=headers)
        if response is None:
            return False
        job_id = response.json()["job_id"]
        self.story.accepted[job_id] = kind
        if key is not None:
            self.story.keys.setdefault(key, set()).add(job_id)
        if self._chance.random() < 0.5:
            self._watch(job_id)
            if self._chance.random() < 0.2:
                self._watch(job_id)
        return True

    async def _submit_with_key(self) -> None:
        """Submit until it is acknowledged, and once more, here and there: it is one job."""
        self._keys += 1
        key, kind, seconds = f"key-{self._keys}", random_kind(self._chance), random_seconds(self._chance)
        answers = 0
        while answers < 2:
            try:
                answers += await self._submit(key, kind, seconds)
            except httpx.TransportError:
                await asyncio.sleep(0.02)

    async def _cancel(self) -> None:
        job_id = self._any_job()
        if job_id is not None:
            self.story.canceled.add(job_id)
            await self._request("POST", f"/cancel/{job_id}", 200, 404)

    async def _delete(self) -> None:
        job_id = self._any_job()
        if job_id is not None and job_id not in self._keyed():
            self.story.deleted.add(job_id)
            await self._request("DELETE", f"/api/v1/jobs/{job_id}", 204, 404)

    async def _upload(self) -> None:
        """A content that others upload and save as well, or one of its own."""
        own = self._chance.randbytes(8) * self._chance.randrange(1, self.largest_upload // 8)
        content = self._chance.choice([*CONTENTS, own, own, own])
        self.story.uploads_begun += 1
        self._uploading += 1
        self.story.most_uploads_at_once = max(self.story.most_uploads_at_once, self._uploading)
        try:
            response = await self._request("POST", "/api/v1/artifacts/$upload?kind=upload", 201, content=content)
        finally:
            self._uploading -= 1
        if response is not None:
            self.story.uploaded[response.json()["id"]] = hash_of(content)

    async def _delete_artifact(self) -> None:
        artifact_id = self._any_artifact()
        if artifact_id is not None:
            self.story.deleted_artifacts.add(artifact_id)
            await self._request("DELETE", f"/api/v1/artifacts/{artifact_id}", 204, 404)

    async def _read_artifact(self) -> None:
        artifact_id = self._any_artifact()
        if artifact_id is None:
            return
        response = await self._request("GET", f"/api/v1/artifacts/{artifact_id}/$download", 200, 404)
        if response is None or artifact_id in self.story.deleted_artifacts:
            return
        if response.status_code == 404:
            self.story.problems.append(f"{artifact_id} was uploaded and is not there")
        elif hash_of(response.content) != self.story.uploaded[artifact_id]:
            self.story.problems.append(f"{artifact_id} is given with another content")

    def _any_artifact(self) -> str | None:
        newest = list(self.story.uploaded)[-30:]
        return self._chance.choice(newest) if newest else None

    async def _execute(self) -> None:
        parameters = {"journal": str(self.place.journal), "seconds": random_seconds(self._chance)}
        await self._begin("script", "/api/v1/tasks/script/$execute", {"parameters": parameters})

    async def _train(self) -> None:
        if self._config_id is None:
            body = {"name": "crash test", "data": {"prediction_periods": 3}}
            response = await self._request("POST", "/api/v1/configs", 201, json=body)
            self._config_id = None if response is None else response.json()["id"]
            return
        rows = [["2026-01", "north", self._chance.randrange(100)] for _ in range(100)]
        data = {"columns": ["time_period", "location", "disease_cases"], "data": rows}
        await self._begin("training", "/api/v1/ml/$train", {"config_id": self._config_id, "data": data})

    async def _begin(self, kind: str, path: str, body: dict[str, object]) -> None:
        if self._waiting <= _MOST_WAITING:
            response = await self._request("POST", path, 202, json=body)
            if response is not None:
                self.story.accepted[response.json()["job_id"]] = kind

    def _keyed(self) -> set[str]:
        """A key lives as long as its job: those jobs are left alone, so that it can be said what a key must give."""
        return set().union(*self.story.keys.values())

    async def _look(self) -> None:
        job_id = self._any_job()
        response = await self._request("GET", "/api/v1/jobs?limit=20", 200)
        if response is not None and job_id is not None:
            found = await self._request("GET", f"/api/v1/jobs/{job_id}", 200, 404)
            if found is not None and found.status_code == 404 and job_id not in self.story.deleted:
                self.story.problems.append(f"{job_id} was accepted and is not there")

    def _any_job(self) -> str | None:
        newest = list(self.story.accepted)[-30:]
        return self._chance.choice(newest) if newest else None

    def _watch(self, job_id: str) -> None:
        if len(self._reading) < _MOST_READERS:
            reader = Reader(job_id, is_reconnecting=self._chance.random() < 0.75)
            self.story.readers.append(reader)
            task = self._readers.create_task(_quietly(reader.read(self.members)))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _watch_load(self) -> None:
        """See how many jobs wait, so that no more are added than can be run."""
        while not self._is_calm.is_set():
            await self._pass(0.3)
            with suppress(sqlite3.Error, psycopg.Error):
                self._waiting = await asyncio.to_thread(self._count_waiting)

    def _count_waiting(self) -> int:
        with self.place.connect() as connection:
            (row,) = connection.execute("SELECT count(*) AS waiting FROM jobs WHERE status = 'pending'")
            return int(row["waiting"])

    # The end

    async def _drain(self) -> None:
        """One healthy service runs what is left: wait until every job has ended."""
        if self.place.accepted.exists():
            lines = self.place.accepted.read_text().splitlines()
            self.story.accepted.update((job_id, kind) for job_id, kind in (line.split() for line in lines))
        with self.place.connect() as connection:
            connection.execute("UPDATE schedules SET is_paused = (1 = 1)")  # for SQLite a number
        try:
            async with create_scheduler(self.place.url, run_jobs=False) as scheduler, asyncio.timeout(_DRAIN_SECONDS):
                for record in await scheduler.get_all_records():
                    with suppress(JobNotFound):
                        await scheduler.wait(record.id)
        except TimeoutError:
            self.story.problems.append(f"not every job has ended after {_DRAIN_SECONDS} s")


async def _quietly(reading: Coroutine[object, object, None]) -> None:
    with suppress(asyncio.CancelledError):
        await reading


class StormOfUploads(Storm):
    """Many uploads of megabytes and many trainings at once, at four services, which are killed one after the other."""

    slots = ("service",) * 4
    clients = 30
    mean_life_seconds = 4.0
    largest_upload = 20_000_000

    def _actions(self) -> dict[Callable[[], Awaitable[object]], int]:
        return {self._upload: 20, self._train: 6, self._read_artifact: 3, self._delete_artifact: 1}
