"""A module of your own: notes that people write to jobs, with a table, routes and a page, added in one line.

    fastapi dev examples/job_notes_api.py

Submit a job that fails, and say what you think of it:

    JOB_ID=$(curl -s -X POST "http://localhost:8000/api/v1/orders?number=17" | jq -r '.job_id')
    curl -X POST http://localhost:8000/api/v1/notes/$JOB_ID \\
      -H "Content-Type: application/json" -d '{"text": "The shop was closed."}'
    curl http://localhost:8000/api/v1/notes/$JOB_ID

The page http://localhost:8000/notes shows all of them. The notes of a job go when the job is deleted.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, status
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from servicekit.api import (
    JobEvent,
    JobSubmitted,
    Service,
    ServiceBuilder,
    ServiceDependency,
    ServiceInfo,
    SubmitJob,
)


class Note(BaseModel):
    """What somebody has to say of a job."""

    text: Annotated[str, Field(min_length=1, max_length=1_000)]


class NoteFile:
    """The table. Every call opens the file anew, so that any thread and any process may make it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        self._run("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, text TEXT NOT NULL)")

    def add(self, job_id: str, text: str) -> None:
        self._run("INSERT INTO notes (job_id, text) VALUES (?, ?)", job_id, text)

    def list_of(self, job_id: str) -> list[str]:
        return [text for _, text in self._run("SELECT job_id, text FROM notes WHERE job_id = ? ORDER BY id", job_id)]

    def list_all(self) -> list[tuple[str, str]]:
        return self._run("SELECT job_id, text FROM notes ORDER BY id DESC LIMIT 100")

    def remove_of(self, job_id: str) -> None:
        self._run("DELETE FROM notes WHERE job_id = ?", job_id)

    def _run(self, statement: str, *values: str) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            return connection.execute(statement, values).fetchall()


class JobNotes:
    """Notes for jobs: `.with_feature(JobNotes())`. They are kept in a file beside that of the jobs."""

    def __init__(self, path: str = "notes.db") -> None:
        self._notes = NoteFile(Path(path))
        self._removals: set[asyncio.Task[None]] = set()  # asyncio lets go of a task that nothing refers to

    def install(self, app: FastAPI) -> None:
        notes = self._notes
        router = APIRouter(tags=["notes"])

        @router.post("/api/v1/notes/{job_id}", status_code=status.HTTP_201_CREATED)
        async def add_note(job_id: str, note: Note, service: ServiceDependency) -> list[str]:
            await service.scheduler.get_record(job_id)  # 404 if there is no such job
            await asyncio.to_thread(notes.add, job_id, note.text)
            return await asyncio.to_thread(notes.list_of, job_id)

        @router.get("/api/v1/notes/{job_id}")
        def list_notes(job_id: str) -> list[str]:
            return notes.list_of(job_id)

        @router.get("/notes", response_class=HTMLResponse)
        def show_page() -> str:
            return render(notes.list_all())

        app.include_router(router)
        Service.of(app).add_listener(self._forget_deleted)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG002
        await asyncio.to_thread(self._notes.create)
        yield
        await asyncio.gather(*self._removals)

    def _forget_deleted(self, event: JobEvent) -> None:
        if event.record is None:  # a listener must be quick, so a thread does it
            task = asyncio.create_task(asyncio.to_thread(self._notes.remove_of, event.job_id))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)


def render(rows: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<li><code>{escape(job_id)}</code> {escape(text)}</li>" for job_id, text in rows)
    return f"<!doctype html><title>Notes</title><h1>Notes</h1><ul>{items}</ul>"


async def place_order(number: int) -> None:
    """Call a shop that is closed."""
    raise ConnectionError(f"nobody takes order {number}")


orders = APIRouter(prefix="/api/v1", tags=["orders"])


@orders.post("/orders", status_code=status.HTTP_202_ACCEPTED)
async def submit_order(number: int, submit: SubmitJob) -> JobSubmitted:
    """Place an order."""
    return await submit(place_order, number)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Job notes"))
    .with_jobs()
    .with_feature(JobNotes())
    .include_router(orders)
    .build()
)
