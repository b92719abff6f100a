"""What the crash test keeps as artifacts: by jobs, by commands, by clients; and what must be true of it in the end."""

import asyncio
import hashlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import BaseModel

from servicekit import current_job, job_options
from servicekit.artifacts import Artifact, Artifacts, Table
from servicekit.ml import BaseConfig, Json, Model
from servicekit.tasks import Tasks
from tests.crash.journal import PROGRAM, journaled

CONTENTS: Final = [bytes([65 + number]) * 150_000 for number in range(4)]
"""What is saved again and again: each has one blob, whoever saves it, and however often."""
KEEPING: Final = ("keep_note", "keep_blob", "keep_in_process", "script", "training")
"""The kinds of jobs that leave an artifact when they complete."""


@cache  # one for each process, as a module of the user's has one
def artifacts_at(folder: Path) -> Artifacts:
    return Artifacts(folder / "artifacts")


def keep_note(journal: str, seconds: float) -> None:
    """Small JSON, which goes with its job."""
    with journaled(journal):
        about = {"job": current_job().id, "numbers": list(range(100))}
        note = artifacts_at(Path(journal).parent).save(about, kind="note", keep="job")
        current_job().artifact(note.id)
        current_job().wait_cancel_requested(seconds / 4)


async def keep_blob(journal: str, seconds: float) -> None:
    """A blob that others save too, below one that this job has saved before."""
    with journaled(journal):
        artifacts, number = artifacts_at(Path(journal).parent).aio, round(seconds * 1_000) % len(CONTENTS)
        above = await artifacts.save({"number": number}, kind="above")
        blob = await artifacts.save(CONTENTS[number], kind="blob", parent=above.id)
        current_job().artifact(blob.id)
        await asyncio.sleep(seconds / 10)


@job_options(runner="process")
def keep_in_process(journal: str, seconds: float) -> None:
    """The artifact that the job promises: a later attempt's takes the place of an earlier one's."""
    with journaled(journal):
        content = f"{current_job().attempt} {seconds}".encode() * 10_000
        kept = artifacts_at(Path(journal).parent).save(content, id=current_job().id, kind="promised")
        current_job().artifact(kept.id)


class ScriptParameters(BaseModel):
    journal: str
    seconds: float


def make_tasks(folder: Path) -> Tasks:
    tasks = Tasks(folder / "tasks.db")
    program = PROGRAM.replace("{", "{{").replace("}", "}}")  # its braces are no places for parameters
    argv = [sys.executable, "-S", "-E", "-c", program, "{journal}", "{seconds}"]
    tasks.add_command("script", argv, parameters=ScriptParameters)
    return tasks


model = Model(serializer=Json())


@model.train
def learn(config: BaseConfig, data: Table) -> dict[str, float]:
    """No more than a mean: what is tried is what becomes of it."""
    cases = [float(str(row[-1])) for row in data.data]
    return {"mean": sum(cases) / len(cases)}


@model.predict
def predict(model: dict[str, float], future: Table) -> Table:
    return Table([*future.columns, "sample_0"], [[*row, model["mean"]] for row in future.data])


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_artifacts(
    folder: Path,
    jobs: Mapping[str, Mapping[str, Any] | sqlite3.Row],
    kinds: Mapping[str, str],
    uploaded: Mapping[str, str],
    deleted: set[str],
    database_url: str | None = None,
) -> tuple[dict[str, object], list[str]]:
    """The figures, and what is wrong. `uploaded`: the hashes of what clients were told that it is kept."""
    artifacts = artifacts_at(folder)
    artifacts.use_database(database_url)
    kept = {artifact.id: artifact for artifact in _list_all(artifacts)}
    problems = [problem for artifact in kept.values() for problem in _check_content(artifacts, artifact)]
    for artifact_id, sha256 in uploaded.items():
        if artifact_id not in kept and artifact_id not in deleted:
            problems.append(f"{artifact_id} was uploaded and is not there")
        elif artifact_id in kept and kept[artifact_id].sha256 != sha256:
            problems.append(f"{artifact_id} has another content than was uploaded")
    for job_id, job in jobs.items():
        problems += _check_job(job_id, job, kinds.get(job_id), kept, deleted)
    swept = artifacts.sweep()
    known = {artifact.sha256 for artifact in kept.values()} | _find_marks(database_url)
    problems += _check_files(folder / "artifacts", known)
    figures: dict[str, object] = {
        "artifacts kept": len(kept),
        "artifacts uploaded": len(uploaded),
        "artifacts' deletions asked": len(deleted),
        "swept": swept,
    }
    return figures, problems


def _find_marks(database_url: str | None) -> set[str]:
    """What tells that a directory is that of the index in a database: blobs of which there is no artifact."""
    if database_url is None:
        return set()
    with psycopg.connect(database_url) as connection:
        return {row[0].hex() for row in connection.execute("SELECT sha256 FROM servicekit.artifact_marks")}


def _list_all(artifacts: Artifacts) -> Iterator[Artifact]:
    cursor = None
    while True:
        page = artifacts.list(limit=1_000, cursor=cursor)
        yield from page.artifacts
        cursor = page.next_cursor
        if cursor is None:
            return


def _check_content(artifacts: Artifacts, artifact: Artifact) -> list[str]:
    """No row is without its content."""
    try:
        with artifacts.open(artifact.id) as file:
            content = file.read()
    except Exception as error:
        return [f"{artifact.id} ({artifact.kind}) cannot be read: {error!r}"]
    is_same = (len(content), hash_of(content)) == (artifact.size, artifact.sha256)
    return [] if is_same else [f"{artifact.id} ({artifact.kind}) has another content than its row says"]


def _check_job(
    job_id: str, job: Mapping[str, Any] | sqlite3.Row, kind: str | None, kept: Mapping[str, Artifact], deleted: set[str]
) -> list[str]:
    """What a job names is there, and what completes has named something."""
    named = job["artifact_id"]
    if named is None:
        is_missing = kind in KEEPING and job["status"] == "completed"
        return [f"{job_id} ({kind}) is completed and has left no artifact"] if is_missing else []
    if named in kept or named in deleted:
        return []
    return [f"{job_id} ({kind}, {job['status']}) has left {named}, which is not there"]


def _check_files(folder: Path, hashes: set[str]) -> list[str]:
    """After a sweep no blob is without a row, and nothing temporary is left."""
    blobs = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
    problems = [f"the blob {path.name} has no row" for path in blobs if path.name not in hashes]
    staging = folder / "staging"
    left = list(staging.iterdir()) if staging.exists() else []
    return problems + [f"left behind: {path}" for path in left]
