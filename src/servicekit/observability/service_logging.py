"""Structured logging: each line is a JSON object, with the ids of the request and the job to which it belongs."""

import logging
import re
import secrets
from contextvars import ContextVar

from servicekit.errors import MissingExtra
from servicekit.jobs.current import current

request_id: ContextVar[str | None] = ContextVar("servicekit_request_id", default=None)

# Long enough for ids of common tracing tools. No blanks and no line breaks, since a client could else forge lines.
_ACCEPTABLE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def accept_request_id(offered: str | None) -> str:
    """The client's id if it may stand in a log and a header; else a new one."""
    if offered is not None and _ACCEPTABLE_REQUEST_ID.fullmatch(offered):
        return offered
    return secrets.token_hex(8)


def configure_logging(level: int | str) -> None:
    """Set the root logger's level. Unless it has handlers already, log to standard error in JSON.

    `MissingExtra` if the package for JSON is not installed.
    """
    root = logging.getLogger()
    root.setLevel(level)
    if root.handlers:
        return
    try:
        from pythonjsonlogger.json import JsonFormatter
    except ModuleNotFoundError as error:
        raise MissingExtra("Logging", "logging") from error
    handler = logging.StreamHandler()
    handler.addFilter(add_context)
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s", rename_fields={"levelname": "level", "name": "logger"}, timestamp=True
        )
    )
    root.addHandler(handler)


def add_context(record: logging.LogRecord) -> bool:
    """A logging filter that adds `request_id` and `job_id` to a record that is logged within a request or a job."""
    identifier = request_id.get()
    if identifier is not None:
        record.request_id = identifier
    job = current.get(None)
    if job is not None:
        record.job_id = job.id
    return True
