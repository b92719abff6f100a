"""The health check of artifacts: whether they can be saved and read, in words that an operator understands."""

import os
from collections.abc import Awaitable, Callable
from typing import Final

from servicekit.api import Notice
from servicekit.api.checks import SharedCheck
from servicekit.artifacts.artifacts import Artifacts
from servicekit.errors import ArtifactsUnavailable
from servicekit.jobs.threads import call_in_thread

# Of the smallest machines' disks this is little, and the index and the file of jobs can still be written.
_LITTLE_BYTES: Final = 64 * 1024 * 1024


def make_check(artifacts: Artifacts) -> Callable[[], Awaitable[str | None]]:
    """A check that saves nothing, but writes and syncs a few bytes where contents are written, and reads the index."""

    async def find_problem() -> str | None:
        return await call_in_thread(_find_problem, artifacts)

    shared = SharedCheck(find_problem)

    async def check() -> str | None:
        return await shared.ask() or await call_in_thread(_find_notice, artifacts)

    return check


def _find_problem(artifacts: Artifacts) -> str | None:
    try:
        storage = artifacts.storage
        storage.index.release((), lambda _: None)  # it takes the lock for writers, and writes nothing
        storage.index.list_job_ids("", 1)
        with storage.blobs.stage() as staged:
            staged.write(b"is there room?")
            staged.finish()
    except ArtifactsUnavailable as error:  # told without the path, which clients must not see
        return f"Artifacts cannot be kept at the moment: {error.reason}"
    return None


def _find_notice(artifacts: Artifacts) -> str | None:
    try:
        about = os.statvfs(artifacts.storage.blobs.location)
    except (ArtifactsUnavailable, OSError):  # the blobs are elsewhere
        return None
    free = about.f_bavail * about.f_frsize
    if free >= _LITTLE_BYTES:
        return None
    return Notice(f"The disk of the artifacts is nearly full: {free / 1024 / 1024:.0f} MiB are free.")
