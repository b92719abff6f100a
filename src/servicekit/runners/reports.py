"""What a job's own process reports: progress, lines and its artifact, in short messages, each read in one piece."""

import json
from contextlib import suppress
from typing import Final

from servicekit.jobs.current import RunningJob
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS
from servicekit.jobs.record import Progress

# The names of a logger and of a level have no limit of their own.
_MOST_CHARACTERS: Final = 200


def dump_line(text: str, level: str, source: str) -> bytes:
    # By one character more than it keeps, the service sees that the line was longer.
    return _dump("line", text[: MAX_LINE_CHARACTERS + 1], level[:_MOST_CHARACTERS], source[:_MOST_CHARACTERS])


def dump_progress(progress: Progress) -> bytes:
    return _dump("progress", progress.done, progress.total, progress.message)


def dump_artifact(artifact_id: str) -> bytes:
    return _dump("artifact", artifact_id)


def take_report(job: RunningJob, data: bytes) -> None:
    """Report to the service's own object of the job what was reported in the job's process.

    Everything else that comes is ignored: the target may write to this descriptor too.
    """
    with suppress(ValueError, TypeError, RecursionError):
        kind, *values = json.loads(data)
        if kind == "line" and len(values) == 3 and all(type(value) is str for value in values):
            text, level, source = values
            job.log(text, level[:_MOST_CHARACTERS], source[:_MOST_CHARACTERS])
        elif kind == "progress":
            job.progress(*values)
        elif kind == "artifact":
            job.name_artifact(*values)


def _dump(*message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")  # as `json.loads` reads it
