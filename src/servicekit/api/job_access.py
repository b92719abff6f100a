"""Whose jobs a request is about: what each job route asks before it shows or changes something.

A job that is not the caller's is answered as one that does not exist: by `JobNotFound`, with the same body and headers.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Annotated, Final, NoReturn

from fastapi import Depends, Request

from servicekit.api.access import Access
from servicekit.api.admission import check_may_act, find_access, find_jobs_of_ticket
from servicekit.api.dependencies import find_scheduler, solve_scheduler
from servicekit.api.job_parameters import JobId
from servicekit.engine.job_reader import JobReader
from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.query import JobFilter
from servicekit.jobs.record import JobRecord

_NOBODY: Final = "\n"  # which is no owner of any job, since owners have no line breaks


async def _see(request: Request, job_id: JobId) -> str:
    access = find_access(request)
    if not access.everything:
        await check_is_seen(request, job_id, access)
    return job_id


async def _act(request: Request, job_id: JobId) -> str:
    access = find_access(request)
    if not (access.everything and access.may_act):
        await check_is_seen(request, job_id, access)  # first, so that 403 tells nobody of another's job
        check_may_act(access)
    return job_id


SeenJobId = Annotated[str, Depends(_see)]
"""The id of a job that the caller sees. 404 if it does not."""
ActedJobId = Annotated[str, Depends(_act)]
"""The same of a job with which the caller may do something. 403 if it only sees it."""


def check_is_own(request: Request, record: JobRecord) -> None:
    """`JobNotFound` unless the caller sees the job of this record."""
    access = find_access(request)
    if not access.everything and record.owner != access.owner:
        raise JobNotFound(record.id)


def narrow(request: Request, wanted: JobFilter) -> JobFilter:
    """What the caller sees of the jobs that it wants."""
    access = find_access(request)
    if access.everything:
        return wanted
    return replace(wanted, owner=access.owner if wanted.owner in (None, access.owner) else _NOBODY)


def narrow_ids(request: Request, job_ids: frozenset[str]) -> frozenset[str]:
    """The jobs that a stream is about: those that were asked for, or all of a ticket that names some.

    `JobNotFound` for one that the ticket does not name.
    """
    named = find_jobs_of_ticket(request)
    if named is None:
        return job_ids
    for job_id in job_ids - named:
        raise JobNotFound(job_id)
    return job_ids or named


class NotOpened(AbstractAsyncContextManager[JobReader]):
    """In the place of a job's reader, when it cannot be known whose job it is: the stream begins, and ends at once."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __aenter__(self) -> NoReturn:
        raise self._error

    async def __aexit__(self, *error: object) -> None:
        """Nothing was opened."""


async def check_is_seen(request: Request, job_id: str, access: Access) -> None:
    """`JobNotFound` unless there is a job with this id, and the caller sees it."""
    scheduler = find_scheduler(request) or await solve_scheduler(request)
    try:
        record = await scheduler.get_record(job_id)
    except RecordUnreadable as error:
        if not access.everything:  # it is not known whose it is
            raise JobNotFound(job_id) from error
    else:
        check_is_own(request, record)
