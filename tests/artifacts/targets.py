"""Targets that save artifacts, and a worker that is killed."""

import os
import random
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from servicekit import current_job
from servicekit.artifacts import Artifacts
from servicekit.artifacts.sqlite import connections
from servicekit.errors import ArtifactConflict, ArtifactNotFound

CONTENTS: Final[list[object]] = [b"small", b"x" * 300_000, "a text", ["y" * 70_000], {"in": "the row"}]


def save_plainly(address: str) -> str:
    """Save something from a plain function."""
    return Artifacts.at(address).save(b"made by a job", kind="model", keep="job").id


async def save_from_coroutine(address: str) -> str:
    """Save something from a coroutine."""
    return (await Artifacts.at(address).aio.save(b"made by a job", kind="model", keep="job")).id


def save_promised(address: str) -> str:
    """Save under the id of the job, and in vain once more. The first attempt fails after that."""
    job, artifacts = current_job(), Artifacts.at(address)
    artifacts.save(f"attempt {job.attempt}", id=job.id)
    with suppress(ArtifactConflict):
        artifacts.save("a second time", id=job.id)
    if job.attempt == 1:
        raise RuntimeError("the first attempt fails")
    return job.id


def save_and_delete(address: str, seed: int, done: Connection, database_url: str) -> None:
    """Save and delete few contents until somebody kills this process, and send a byte after each call."""
    connections._PATIENCE_SECONDS = 60.0  # type: ignore[misc]  # a machine may be very busy, and its disk too
    os.environ["SERVICEKIT_JOBS_URL"] = database_url
    artifacts, chance = Artifacts.at(address), random.Random(seed)
    while True:
        there = artifacts.list(limit=20).artifacts
        with suppress(ArtifactNotFound, ArtifactConflict):
            if len(there) < 20 and (not there or chance.random() < 0.6):
                parent = chance.choice([None, *there])
                artifacts.save(chance.choice(CONTENTS), parent=parent, tags=["storm"])
            elif chance.random() < 0.1:
                artifacts.sweep()
            else:
                artifacts.delete(chance.choice(there).id, recursive=True)
        os.write(done.fileno(), b".")
