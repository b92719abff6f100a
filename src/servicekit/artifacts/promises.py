"""Artifacts that are not there: some are promised by a job, which has the same id."""

from fastapi import HTTPException, Request

from servicekit.api import Service
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.ownership import check_is_seen
from servicekit.artifacts.record import Artifact
from servicekit.artifacts.seen import find_seer
from servicekit.errors import ArtifactNotFound, JobNotFound, RecordUnreadable, StoreUnavailable
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus

PROMISE = ("artifact", "promised")
"""The key and the value in the metadata of a job that promises an artifact with the id of the job."""


async def find_artifact(request: Request, service: Service, artifacts: Artifacts, artifact_id: str) -> Artifact:
    """The artifact. If there is none, or the caller does not see it, the answer says so by 404.

    If a job has promised it, the answer says by 409 that it is not there yet, or by 404 why it will never be.
    """
    seer = find_seer(request)
    try:
        return check_is_seen(await artifacts.aio.get(artifact_id), seer)
    except ArtifactNotFound:
        job = await _find_promise(service, artifact_id, seer)
        if job is None:
            raise
    if job.status.is_terminal:
        try:
            return check_is_seen(await artifacts.aio.get(artifact_id), seer)  # the job may have saved it since
        except ArtifactNotFound as error:
            raise HTTPException(404, f"Artifact not found: its job {_describe_end(job)}") from error
    url = service.job_url(request, job.id)
    raise HTTPException(
        409,
        f"The artifact is not there yet: its job is {job.status}, see {url}",
        headers={"Location": url, "Link": f'<{url}>; rel="monitor"'},
    )


async def _find_promise(service: Service, artifact_id: str, seer: str | None) -> JobRecord | None:
    try:
        job = await service.scheduler.get_record(artifact_id)
    except (JobNotFound, RecordUnreadable, StoreUnavailable):
        return None
    key, value = PROMISE
    return job if job.metadata.get(key) == value and seer in (None, job.owner) else None


def _describe_end(job: JobRecord) -> str:
    if job.status is JobStatus.FAILED:
        return f"{job.id} has failed: {job.error}"
    if job.status is JobStatus.CANCELED:
        return f"{job.id} was canceled"
    return f"{job.id} has completed, and the artifact was deleted since"
