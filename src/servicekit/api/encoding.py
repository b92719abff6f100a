"""Records and events as bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter

from servicekit.engine.log_reader import LogEvent
from servicekit.errors import ResultDropped
from servicekit.jobs.events import JobEvent
from servicekit.jobs.log_lines import LogLine
from servicekit.jobs.query import JobChange
from servicekit.jobs.record import JobRecord, JobSummary
from servicekit.jobs.results import show_result
from servicekit.jobs.status import JobStatus

_RECORD: Final = TypeAdapter(JobRecord)
_SUMMARIES: Final = TypeAdapter(list[JobSummary])
_LINE: Final = TypeAdapter(LogLine)
_DELETED: Final = b'data: {"status": "deleted"}\n\n'


def record_json(record: JobRecord, *, expose_traceback: bool) -> bytes:
    """The record as JSON on one line, with its traceback only if `expose_traceback`."""
    if expose_traceback or record.error_traceback is None:
        return _RECORD.dump_json(record)
    return _RECORD.dump_json(replace(record, error_traceback=None))


def record_with_arguments(record: JobRecord, arguments: bytes, *, expose_traceback: bool) -> bytes:
    """The same with the shown arguments, which are JSON already."""
    return b'%b,"arguments":%b}' % (record_json(record, expose_traceback=expose_traceback)[:-1], arguments)


def result_json(job_id: str, result: object) -> bytes:
    """The result of a completed job as JSON. `ResultDropped` if it cannot be written as JSON, as can be in memory."""
    try:
        return show_result(result)
    except Exception as error:  # it can be the user's code, called for a value of a class of its own
        raise ResultDropped(job_id, JobStatus.COMPLETED) from error


def list_json(records: Sequence[JobSummary]) -> bytes:
    """The records as a JSON array, without their tracebacks."""
    return _SUMMARIES.dump_json(list(records))


def encode_event(event: JobEvent | LogEvent | JobChange, *, expose_traceback: bool) -> bytes:
    """The event as a stream sends it: a stream of one job, of one job with its log, or of all jobs."""
    if isinstance(event, JobChange):
        return _encode_change(event, expose_traceback=expose_traceback)
    if isinstance(event, LogEvent):
        return _encode_log_event(event, expose_traceback=expose_traceback)
    return event.render(_encode if expose_traceback else _encode_without_traceback)


def _encode(event: JobEvent, *, expose_traceback: bool = True) -> bytes:
    if event.record is None:
        return _DELETED
    return _with_id(event.record.version, record_json(event.record, expose_traceback=expose_traceback))


def _encode_without_traceback(event: JobEvent) -> bytes:
    return _encode(event, expose_traceback=False)


def _encode_change(change: JobChange, *, expose_traceback: bool) -> bytes:
    if change.record is None:
        return _with_id(change.position, b'{"id": "%b", "status": "deleted"}' % change.job_id.encode())
    return _with_id(change.position, record_json(change.record, expose_traceback=expose_traceback))


def _encode_log_event(event: LogEvent, *, expose_traceback: bool) -> bytes:
    """Each line as an event of type `log`. A change is as in a stream without the log, but has another `id:`."""
    if isinstance(event.told, list):
        return b"".join(_encode_line(event.version, line) for line in event.told)
    change = encode_event(event.told, expose_traceback=expose_traceback)
    if event.told.record is None:
        return change
    return b"id: %d.%d\n%b" % (event.version, event.line_number, change.partition(b"\n")[2])


def _encode_line(version: int, line: LogLine) -> bytes:
    return b"event: log\nid: %d.%d\ndata: %b\n\n" % (version, line.number, _on_one_line(_LINE.dump_json(line)))


def _with_id(number: int, json: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (number, _on_one_line(json))


def _on_one_line(json: bytes) -> bytes:
    """Escape characters that JSON allows, but at which `str.splitlines` breaks a line, as httpx's `iter_lines` does.

    By the standard, only CR and LF end a line of an event stream, and JSON escapes these.
    """
    if not json.isascii():
        for character in ("\u0085", "\u2028", "\u2029"):
            json = json.replace(character.encode(), b"\\u%04x" % ord(character))
    return json
