"""The URL of the database server with the jobs, for features that keep something of their own beside them.

It may have a password, so it is passed on in memory alone: a scheduler tells its running jobs, and a job's own
process is told with the job. No record, log or error has it.
"""

import os
from typing import Final

from servicekit.jobs.current import running_job
from servicekit.jobs.this_process import this_process

URL_VARIABLE: Final = "SERVICEKIT_JOBS_URL"
_SCHEMES: Final = ("postgresql://", "postgres://")


def database_url_of(url: str | None) -> str | None:
    """The URL of jobs itself, if it is one of a database server; else `None`."""
    return url if url is not None and url.startswith(_SCHEMES) else None


def find_database_url() -> str | None:
    """That of the running job; in a thread that knows no job, that of this process; outside of jobs the environment's.

    `None` if these jobs are in no database server.
    """
    job = running_job()
    if job is not None:
        return job.database_url
    if this_process.runs_one_job:
        return this_process.database_url
    return database_url_of(os.environ.get(URL_VARIABLE))
