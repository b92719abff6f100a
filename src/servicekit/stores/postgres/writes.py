"""Changes of existing jobs. Everything here runs inside the writer's transaction."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from servicekit.errors import JobNotFound, RecordUnreadable
from servicekit.jobs.endings import NOT_BEGUN, AttemptFacts, decide_end, end_unreadable
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.record import MAX_PAST_ATTEMPTS, MAX_TRANSITIONS, JobRecord
from servicekit.jobs.results import WrittenResult
from servicekit.jobs.status import EndedBy, JobStatus, Transition, move_of
from servicekit.stores.durable.aftermath import keep_if_pending
from servicekit.stores.durable.expiry import expiry_after_text
from servicekit.stores.durable.nonsense import NONSENSE, lenient
from servicekit.stores.durable.operations import Rank, for_all, for_each
from servicekit.stores.durable.records import read_status
from servicekit.stores.durable.requests import AttemptEnd, Decline, JobRequest, ProgressReport
from servicekit.stores.durable.times import time_text, write_time
from servicekit.stores.postgres import keys
from servicekit.stores.postgres.changes import (
    HIDE_RUNNING,
    OWNED,
    PENDING,
    REMOVE,
    ROWS,
    RUNNING,
    asked_for,
    change,
    rows_of,
    touch,
    transition,
)
from servicekit.stores.postgres.rows import get_record
from servicekit.stores.postgres.session import Session

_TARGETS: Final = {each: move_of(each).target.value for each in Transition}

# What counts is the attempt of that owner alone: others may have taken its job over.
_HOLDS: Final = (
    f"job.attempt = (value ->> 1)::integer AND job.owner = (value ->> 2)::bigint AND job.status = '{RUNNING}'"
)
_END: Final = transition(
    f"""
    UPDATE servicekit.jobs AS job SET
        status = value ->> 3, version = version + 1, finished_at = greatest(started_at, (value ->> 4)::timestamptz),
        error = value ->> 5, error_traceback = value ->> 6, ended_by = value ->> 7, artifact_id = value ->> 8
    FROM {asked_for(f"{_HOLDS} AND NOT job.is_deleted")}
    """,
    JobStatus.RUNNING,
    """
    kept AS (
        INSERT INTO servicekit.results (job_id, value) SELECT id, result ->> 0 FROM changed WHERE result IS NOT NULL
        ON CONFLICT (job_id) DO UPDATE SET value = EXCLUDED.value
    )
    """,
    kept=", nullif(value -> 9, 'null') AS result, place",
    answer=f"SELECT place, concurrency_key, {OWNED} FROM changed",
)
_HELD: Final = """
    job.id, job.attempt, job.owner, job.is_deleted, job.cancel_requested_at IS NOT NULL, job.target IS NOT NULL,
    job.max_restarts, job.attempt - job.spared - job.failures, job.started_at, job.process, job.attempts,
    job.declined_by, job.options, job.scheduled_at, job.expires_at, job.waits_for, job.concurrency_key
"""
_FIND_HELD: Final = f"""
    SELECT place, job.* FROM {ROWS} CROSS JOIN LATERAL (
        SELECT {_HELD} FROM servicekit.jobs AS job WHERE job.id = value ->> 0 AND {_HOLDS} FOR UPDATE
    ) AS job
"""
_FIND_OWNED: Final = (
    f"SELECT 1, {_HELD} FROM servicekit.jobs AS job WHERE job.owner = %s AND job.owner <> 0 "
    f"AND job.status = '{RUNNING}' AND job.finished_at IS NULL ORDER BY job.id LIMIT %s FOR UPDATE"
)


class _Held(NamedTuple):
    """A running job, locked until the end of the transaction."""

    place: int
    """The place of its claim among those that were asked for, from 1 on."""
    id: str
    attempt: int
    owner: int
    is_deleted: bool
    is_asked_to_stop: bool
    has_target: bool
    max_restarts: int
    lost_attempts: int
    started_at: str
    process: str | None
    past: str | None
    declined_by: str | None
    options: str | None
    scheduled_at: str | None
    expires_at: str | None
    waits_for: str | None
    key: str | None

    @property
    def facts(self) -> AttemptFacts:
        return AttemptFacts(*self[4:9])


def _find_held(session: Session, claims: Sequence[tuple[object, ...]]) -> dict[int, _Held]:
    """The jobs of claims that still hold, by index. Of equal claims the first one does."""
    first = {claim[:2]: index for index, claim in reversed(list(enumerate(claims)))}
    wanted = sorted(first.values())
    rows = rows_of([[*claims[index][:2], session.number] for index in wanted])
    return {wanted[row[0] - 1]: _Held(*row) for row in session.run(_FIND_HELD, {"rows": rows})}


def find_running(session: Session, claims: Sequence[tuple[object, ...]]) -> dict[int, AttemptFacts]:
    """The claims, given as id and attempt, that still hold, by index. Of equal claims the first one does."""
    return {index: job.facts for index, job in _find_held(session, claims).items()}


@for_all(Rank.END)
def end_attempts(session: Session, ends: list[AttemptEnd]) -> list[Transition | None]:
    """Write how attempts ended, each only if it still runs its job. Return what has become of the jobs."""
    first = {end[:2]: place for place, end in reversed(list(enumerate(ends)))}  # of equal claims the first one counts
    final = [place for place in first.values() if not ends[place].ending.transition.gives_back]
    written = _end(session, [_row_of_end(ends[place], session.number, ends[place].ending) for place in final])
    fates = {final[index]: ends[final[index]].ending.transition for index in written}
    others = [place for place in first.values() if place not in fates]
    if others:
        held = _find_held(session, [ends[place] for place in others])
        decided = {others[index]: _decide(job, ends[others[index]]) for index, job in held.items()}
        _write(session, decided.values())
        fates |= {place: fate.ending.transition for place, fate in decided.items() if fate.ending is not None}
        if session.is_unsure:
            fates |= _find_written(session, {place: ends[place] for place in others if place not in decided})
    return [fates.get(place) for place in range(len(ends))]


end_attempts.afterwards(keep_if_pending)


def _row_of_end(end: AttemptEnd, owner: int, ending: Outcome) -> list[object]:
    result = [ending.result.text] if isinstance(ending.result, WrittenResult) else None
    return [
        end.id, end.attempt, owner, _TARGETS[ending.transition], end.now, ending.error, ending.error_traceback,
        ending.ended_by, ending.artifact_id, result,
    ]  # fmt: skip


def _end(session: Session, rows: list[list[object]]) -> list[int]:
    """Write how attempts ended, if they still run their jobs. Return which do, by index."""
    return [place - 1 for place, *_ in change(session, _END, {"rows": rows_of(rows)})] if rows else []


_FIND_WRITTEN: Final = f"""
    SELECT place FROM {ROWS} CROSS JOIN LATERAL (
        SELECT finished_at, owner, started_at FROM servicekit.jobs
        WHERE id = value ->> 0 AND attempt = (value ->> 1)::integer AND status = value ->> 3
    ) AS job WHERE finished_at IS NULL OR (
        owner = (value ->> 2)::bigint AND finished_at = greatest(started_at, (value ->> 4)::timestamptz)
    )
"""


def _find_written(session: Session, ends: dict[int, AttemptEnd]) -> dict[int, Transition]:
    """Those ends that were written by a transaction of whose commit nothing was heard."""
    places, rows = list(ends), [_row_of_end(end, session.number, end.ending) for end in ends.values()]
    written = [places[place - 1] for (place,) in session.run(_FIND_WRITTEN, {"rows": rows_of(rows)})]
    return {place: ends[place].ending.transition for place in written}


class _Fate(NamedTuple):
    """What becomes of a job whose attempt has ended; `None` as `ending`: it is forgotten."""

    job: _Held
    ending: Outcome | None
    row: list[object]
    """For the statement that writes it."""

    @property
    def is_returned(self) -> bool:
        return self.ending is not None and self.ending.transition.gives_back


def _decide(job: _Held, end: AttemptEnd) -> _Fate:
    """A job whose row makes no sense fails, and does not hold up the others."""
    try:
        ending = decide_end(end.ending, job.facts)
        if ending is not None and ending.transition.gives_back:
            return _Fate(job, ending, _row_of_return(job, end, ending))
    except NONSENSE as error:
        ending = end_unreadable(RecordUnreadable(f"Job {job.id}", f"{type(error).__name__}: {error}"))
    return _Fate(job, ending, [] if ending is None else _row_of_end(end, job.owner, ending))


def _write(session: Session, fates: Collection[_Fate]) -> None:
    returned = [fate for fate in fates if fate.is_returned]
    _return(session, [fate.row for fate in returned])
    _end(session, [fate.row for fate in fates if fate.ending is not None and not fate.is_returned])
    remove(session, [fate.job.id for fate in fates if fate.ending is None])
    # Of a job that is tried again and again the newest changes of status are kept.
    many = [fate.job.id for fate in returned if fate.job.attempt >= MAX_PAST_ATTEMPTS]
    if many:
        session.run(_CUT, {"rows": rows_of([[job_id] for job_id in many])})


_RETURN: Final = transition(
    f"""
    UPDATE servicekit.jobs AS job SET
        status = '{_TARGETS[Transition.RELEASE]}', version = version + 1, started_at = NULL, progress = NULL,
        process = NULL, owner = (value ->> 1)::bigint, spared = spared + (value ->> 2)::integer,
        failures = failures + (value ->> 3)::integer, attempts = value ->> 4, declined_by = value ->> 5,
        scheduled_at = (value ->> 6)::timestamptz, expires_at = (value ->> 7)::timestamptz, waits_for = value ->> 8,
        turn = CASE WHEN (value ->> 9)::boolean THEN nextval('servicekit.turns') ELSE turn END,
        error_traceback = value ->> 10
    FROM {asked_for(f"job.status = '{RUNNING}'")}
    """,
    JobStatus.RUNNING,
)
_CUT: Final = f"""
    DELETE FROM servicekit.events WHERE ctid = ANY (ARRAY(
        SELECT old.ctid FROM {ROWS} CROSS JOIN LATERAL (
            SELECT ctid FROM servicekit.events WHERE job_id = value ->> 0 AND version <= (
                SELECT version FROM servicekit.events WHERE job_id = value ->> 0 AND is_transition
                ORDER BY version DESC LIMIT 1 OFFSET {MAX_TRANSITIONS}
            ) OFFSET 0
        ) AS old
    ))
"""


def _return(session: Session, rows: list[list[object]]) -> None:
    """Set running jobs pending again."""
    if not rows:
        return
    change(session, _RETURN, {"rows": rows_of(rows)})
    for *_, waits_for, has_new_turn, reason in rows:
        if reason is not None:
            session.passed_on_at = 0.0  # others may begin with its key
        if waits_for is None:
            session.is_ready = True
            if not has_new_turn:
                session.next_look_at = 0.0


def _row_of_return(job: _Held, end: AttemptEnd, ending: Outcome) -> list[object]:
    owner, past, expires_at = (0 if job.has_target else job.owner), job.past, job.expires_at
    scheduled_at, waits_for, is_due = job.scheduled_at, job.waits_for, False
    is_retry = ending.transition is Transition.RETRY
    if is_retry:  # else it is ready again, in its old place and with its slot
        scheduled_at, expires_at = write_time(ending.retry_at) or end.now, end.expires_at
        is_due = scheduled_at <= end.now
        waits_for = "time" if not is_due else None if job.key is None else "key"
    elif ending.is_lost:
        expires_at = expiry_after_text(job.options, datetime.fromisoformat(end.now))
    if is_retry or ending.is_lost:
        past = _add_attempt(job, end.now, ending)
    spared = int(not is_retry and ending.is_spared)
    reason = None if is_retry else ending.error
    return [
        job.id, owner, spared, int(is_retry), past, job.declined_by, scheduled_at, expires_at, waits_for, is_due, reason
    ]  # fmt: skip


def _load_list(text: str | None) -> list[object]:
    found = [] if text is None else json.loads(text)
    return found if isinstance(found, list) else []


_NOTHING: Final[list[object]] = []
_list_of: Final = lenient(_load_list, _NOTHING)


def _add_attempt(job: _Held, now: str, ending: Outcome) -> str:
    """The past attempts and this one."""
    started_at = time_text(datetime.fromisoformat(job.started_at))
    error = ending.error if ending.transition is Transition.RETRY else None
    attempt = [job.attempt, started_at, max(started_at, now), error, ending.ended_by, job.process]
    return json.dumps([*_list_of(job.past), attempt][-MAX_PAST_ATTEMPTS:])


# The one that has the least to do: the job waits for it alone.
_OTHER: Final = """
    SELECT number FROM servicekit.processes
    WHERE runs_jobs AND NOT is_stopping AND NOT is_dead AND number <> ALL (%s)
    ORDER BY (SELECT count(*) FROM servicekit.jobs WHERE owner = number AND finished_at IS NULL), number LIMIT 1
"""


_ADD_LINE: Final = """
    INSERT INTO servicekit.lines (queue, owner, runner, rank)
    SELECT queue, owner, runner, -priority FROM servicekit.jobs WHERE id = %s ON CONFLICT DO NOTHING
"""


@for_each(Rank.END)
def decline(session: Session, request: Decline) -> bool:
    """Leave a claimed job that this process cannot run to another process that has not tried.

    `False`: there is no such process, and the job must end here.
    """
    job = _find_held(session, [request]).get(0)
    if job is None:
        return True
    if not job.has_target or decide_end(NOT_BEGUN, job.facts) is not NOT_BEGUN:
        return False
    tried = [*(each for each in _list_of(job.declined_by) if type(each) is int), job.owner]
    other = session.run(_OTHER, [tried])
    if other:
        row = [job.id, other[0][0], 1, 0, job.past, json.dumps(tried), job.scheduled_at, job.expires_at, job.waits_for]
        _return(session, [[*row, False, None]])
        session.run(_ADD_LINE, [job.id])
    return bool(other)


def give_up(session: Session, owner: int, limit: int, ending: Outcome, now: str) -> dict[str, Outcome | None]:
    """End attempts of a process that has gone. Return by job what was written, or `None` if the job is forgotten.

    A job whose row makes no sense fails, and does not hold up the others.
    """
    jobs = [_Held(*row) for row in session.run(_FIND_OWNED, [owner, limit])]
    fates = [_decide(job, AttemptEnd(job.id, job.attempt, ending, now)) for job in jobs]
    _write(session, fates)
    return {fate.job.id: fate.ending for fate in fates}


_END_PENDING: Final = transition(
    f"""
    UPDATE servicekit.jobs AS job SET
        status = %(status)s, version = version + 1, waits_for = NULL,
        finished_at = greatest(submitted_at, %(now)s::timestamptz),
        cancel_requested_at = CASE WHEN %(ended_by)s = '{EndedBy.CANCEL.value}'
                                   THEN greatest(submitted_at, %(now)s::timestamptz) ELSE cancel_requested_at END,
        error = %(error)s, error_traceback = %(trace)s, ended_by = %(ended_by)s, artifact_id = %(artifact_id)s
    FROM {asked_for(f"job.status = '{PENDING}'")}
    """,
    JobStatus.PENDING,
)


def end_jobs(session: Session, ending: Outcome, job_ids: list[str], now: str) -> list[str]:
    """End jobs that are pending. Return which were."""
    if not job_ids:
        return []
    keys.lock_those_of(session, job_ids)
    rows = rows_of([[job_id] for job_id in job_ids])
    values = {
        "rows": rows, "status": _TARGETS[ending.transition], "now": now, "error": ending.error,
        "trace": ending.error_traceback, "ended_by": ending.ended_by.value, "artifact_id": ending.artifact_id,
    }  # fmt: skip
    return [job_id for job_id, *_ in change(session, _END_PENDING, values)]


_REPORT: Final = touch(
    f"""
    UPDATE servicekit.jobs AS job SET progress = value ->> 3, version = version + 1
    FROM {asked_for(f"{_HOLDS} AND NOT job.is_deleted")}
    """
)
_MARK: Final = touch(
    f"""
    UPDATE servicekit.jobs AS job SET cancel_requested_at = greatest(started_at, %(now)s::timestamptz),
                                      version = version + 1
    WHERE job.id = %(id)s AND job.status = '{RUNNING}' AND cancel_requested_at IS NULL AND NOT is_deleted
    """
)


@for_all(Rank.REPORT)
def report_progress(session: Session, reports: list[ProgressReport]) -> list[None]:
    """Write how far attempts are."""
    newest = {report[:2]: report.progress for report in reports}
    rows = [[*claim, session.number, progress] for claim, progress in newest.items()]
    change(session, _REPORT, {"rows": rows_of(rows)})
    return [None] * len(reports)


@for_each(Rank.CANCEL)
def request_cancel(session: Session, request: JobRequest) -> JobRecord | None:
    """Cancel a pending job, or mark a running one. `None` if only its status can be read."""
    status = _find_status(session, request.id)
    # Others change it meanwhile, but it does not go to and fro for long.
    while _can_cancel(request, status) and not _cancel(session, request, status):
        status = _find_status(session, request.id)
    try:
        return get_record(session, request.for_record)
    except RecordUnreadable:
        if status.is_terminal:
            raise
        return None


def _can_cancel(request: JobRequest, status: JobStatus) -> bool:
    return status in move_of(Transition.CANCEL).sources and request.is_about(status)


def _find_status(session: Session, job_id: str) -> JobStatus:
    rows = session.run("SELECT status FROM servicekit.jobs WHERE id = %s AND NOT is_deleted", [job_id])
    if not rows:
        raise JobNotFound(job_id)
    return read_status(job_id, rows[0][0])


_IS_ASKED: Final = "SELECT 1 FROM servicekit.jobs WHERE id = %s AND cancel_requested_at IS NOT NULL"


def _cancel(session: Session, request: JobRequest, status: JobStatus) -> bool:
    """Cancel a job with this status. Return whether it has it still, or is canceled already."""
    if status is JobStatus.PENDING:
        return bool(end_jobs(session, CANCELED, [request.id], request.now))
    return bool(change(session, _MARK, request._asdict()) or session.run(_IS_ASKED, [request.id]))


_STATUS_AND_OWNER: Final = f"""
    SELECT job.id, job.status, job.owned_by FROM {ROWS} CROSS JOIN LATERAL (
        SELECT id, status, owned_by FROM servicekit.jobs WHERE id = value ->> 0 AND NOT is_deleted OFFSET 0
    ) AS job
"""
# By an earlier statement than the removal. That one sees only the events that were there when it began, and would leave
# those of a change for whose end it has waited.
_LOCK: Final = f"""
    SELECT job.id FROM {ROWS} CROSS JOIN LATERAL (
        SELECT id FROM servicekit.jobs WHERE id = value ->> 0 OFFSET 0 FOR UPDATE
    ) AS job
"""
_DELETED: Final = f"""
    SELECT job_id FROM {ROWS} JOIN servicekit.events ON job_id = value ->> 0
    WHERE version IS NULL AND writer = %(number)s
"""
_TELL: Final = f"""
    INSERT INTO servicekit.events (writer, job_id, version, is_transition, at, owned_by)
    SELECT %(number)s, value ->> 0, NULL, TRUE, (value ->> 1)::timestamptz, value ->> 2 FROM {ROWS} ORDER BY place
"""


@for_all(Rank.DELETE)
def delete(session: Session, requests: list[JobRequest]) -> list[bool | Exception]:
    """Delete jobs, readable or not. Those that run are hidden until their attempts have ended."""
    first = {request.id: request for request in reversed(requests)}
    answers = _delete(session, dict(sorted(first.items())))
    others = [request for request in requests if first[request.id] is not request]  # for one job, one after the other
    more = iter(delete.write(session, others)) if others else iter(())
    return [answers[each.id] if first[each.id] is each else next(more) for each in requests]


def _delete(session: Session, asked: dict[str, JobRequest]) -> dict[str, bool | Exception]:
    answers: dict[str, bool | Exception] = dict.fromkeys(_find_deleted(session, asked), True)
    waiting, told = {job_id: asked[job_id] for job_id in asked if job_id not in answers}, list[object]()
    while waiting:  # others start and end them meanwhile, but not for long
        found = {job_id: rest for job_id, *rest in session.run(_STATUS_AND_OWNER, {"rows": _ids(waiting)})}
        for job_id, request in waiting.items():
            if job_id not in found:
                answers[job_id] = JobNotFound(job_id)
            elif not request.is_about(found[job_id][0]):
                answers[job_id] = False
        meant = [job_id for job_id in waiting if job_id not in answers]
        for job_id in _take_away(session, {job_id: found[job_id][0] for job_id in meant}):
            answers[job_id] = True
            told.append([job_id, asked[job_id].now, found[job_id][1]])
        waiting = {job_id: request for job_id, request in waiting.items() if job_id not in answers}
    if told:
        session.run(_TELL, {"number": session.number, "rows": rows_of(told)})
    return answers


def _find_deleted(session: Session, asked: Iterable[str]) -> list[str]:
    """Those that were deleted by a transaction of whose commit nothing was heard."""
    if not session.is_unsure:
        return []
    return [job_id for (job_id,) in session.run(_DELETED, {"number": session.number, "rows": _ids(asked)})]


def _take_away(session: Session, statuses: Mapping[str, str]) -> list[str]:
    """Hide or remove the jobs that still are as they were. Return which these are."""
    running = [job_id for job_id, status in statuses.items() if status == RUNNING]
    others = [job_id for job_id, status in statuses.items() if status != RUNNING]
    hidden = change(session, HIDE_RUNNING, {"rows": _ids(running)}) if running else []
    removed = _remove(session, others, are_hidden=False) if others else []
    return [job_id for job_id, *_ in (*hidden, *removed)]


def _ids(job_ids: Iterable[str]) -> str:
    return rows_of([[job_id] for job_id in job_ids])


def remove(session: Session, job_ids: list[str]) -> None:
    """Remove jobs that have ended, or were deleted while they ran and run no more."""
    if job_ids:
        _remove(session, job_ids, are_hidden=True)


def _remove(session: Session, job_ids: list[str], *, are_hidden: bool) -> list[tuple[object, ...]]:
    keys.lock_those_of(session, job_ids)
    rows = _ids(job_ids)
    if not are_hidden:  # others have ended, or are locked since they were found
        session.run(_LOCK, {"rows": rows})
    return change(session, REMOVE, {"rows": rows, "are_hidden": are_hidden})
