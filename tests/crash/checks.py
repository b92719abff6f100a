"""What must be true after the storm."""

import re
import sqlite3
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Final

from servicekit.jobs.status import TRANSITIONS
from tests.crash.journal import Run, most_at_once, read_runs
from tests.crash.keeping import check_artifacts
from tests.crash.members import MAX_CONCURRENCY, Place, Row, RowConnection
from tests.crash.readers import Reader, Seen
from tests.crash.storm import Storm
from tests.crash.targets import KEYED, PLANNED, RUN_ONCE
from tests.crash.ticks import check_ticks
from tests.stores.event_log import check_database, check_events

_ALLOWED: Final = {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}
_LONGEST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE_WITH_A_SERVER: Final = timedelta(seconds=90)  # which is away now and then
_LOGGED: Final = re.compile(r"\d{4}-\d\d-\d\d ")
# Of jobs; and what uvicorn says of a download that is cut off since its service stops.
_EXCUSES: Final = (" servicekit.jobs: ", "ASGI callable returned without completing response.")
_AWAY: Final = (
    "StoreUnavailable",
    "The job store ",
    "ArtifactsUnavailable",
    "The artifacts in ",
    "startup failed. Exiting",
)
_LOST: Final = ("ProcessDied: ", "ProcessStopped: ", "NotRestartable: ")


@dataclass
class Findings:
    """The figures of a storm, and what is wrong."""

    figures: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check(storm: Storm) -> Findings:
    findings = Findings(problems=list(storm.story.problems))
    problems = findings.problems
    with storm.place.connect() as connection:
        jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs")}
        lives = _read_lives(connection)
        left = len(list(connection.execute("SELECT 1 FROM processes")))
        longest_pause = _LONGEST_PAUSE if storm.place.server_url is None else _LONGEST_PAUSE_WITH_A_SERVER
        problems += check_ticks(connection, jobs, longest_pause)
    try:
        transitions = _check_log_of_events(storm.place)
    except AssertionError as error:
        transitions = 0
        problems.append(str(error))
    runs = read_runs(storm.place.journal, problems)
    problems += _check_jobs(storm, jobs) + _check_runs(storm, jobs, runs)
    for reader in storm.story.readers:
        problems += [f"a reader of {reader.job_id}: {problem}" for problem in _check_reader(storm, reader, lives)]
    problems += [f"left behind: {path.name}" for path in storm.place.folder.glob("*-process-*")]
    problems += [f"left behind: {path}" for path in storm.place.temporary.iterdir()]
    problems += [f"{left} processes are still on the list"] if left else []
    problems += _check_log(storm.place)
    story = storm.story
    kept, wrong = check_artifacts(
        storm.place.folder, jobs, story.accepted, story.uploaded, story.deleted_artifacts, storm.place.server_url
    )
    problems += wrong
    findings.figures = _count(storm, jobs, runs) | {"transitions": transitions} | kept
    return findings


def _check_log_of_events(place: Place) -> int:
    if place.server_url is not None:
        return check_database(place.server_url)
    with closing(sqlite3.connect(place.database)) as connection:
        return check_events(connection)


def _read_lives(connection: RowConnection) -> dict[str, list[Seen]]:
    lives: dict[str, list[Seen]] = {}
    query = "SELECT job_id, version, status, attempt FROM events WHERE is_transition AND version IS NOT NULL"
    for event in connection.execute(f"{query} ORDER BY position"):
        lives.setdefault(event["job_id"], []).append(Seen(event["version"], event["status"], event["attempt"]))
    return lives


def _check_jobs(storm: Storm, jobs: dict[str, Row]) -> list[str]:
    """What was accepted is there and has ended, as it should have."""
    story = storm.story
    lost = [job_id for job_id in story.accepted if job_id not in jobs and job_id not in story.deleted]
    problems = [f"{job_id} ({story.accepted[job_id]}) was accepted and is not there" for job_id in lost]
    for job_id, job in jobs.items():
        kind, was_asked = story.accepted.get(job_id), job_id in story.canceled | story.deleted
        problem = _find_wrong_end(job, kind, was_asked=was_asked)
        if problem is not None:
            state = f"{job['status']} in attempt {job['attempt']}, {job['error']}"
            problems.append(f"{job_id} ({kind or job['target']}) {problem}: {state}")
    several = {key: job_ids for key, job_ids in story.keys.items() if len(job_ids) > 1}
    problems += [f"the key {key} has led to several jobs: {job_ids}" for key, job_ids in several.items()]
    kept = Counter(job["idempotency_key"] for job in jobs.values() if job["idempotency_key"])
    return problems + [f"{count} jobs have the key {key}" for key, count in kept.items() if count > 1]


def _find_wrong_end(job: Row, kind: str | None, *, was_asked: bool) -> str | None:
    status, error = job["status"], job["error"] or ""
    if status in ("pending", "running"):
        return "has not ended"
    is_planned = error == "ValueError: planned" and kind in (*PLANNED, None)
    if status == "failed" and not (is_planned or error.startswith(_LOST)):
        return "has failed for no reason"
    if status == "canceled" and not was_asked:
        return "was canceled, and nobody has asked for it"
    return None


def _check_runs(storm: Storm, jobs: dict[str, Row], runs: list[Run]) -> list[str]:
    """No attempt is in two places, none begins before the one before it is over, and what has ended has run."""
    problems = []
    ended_not_before = {member.name: member.ended_not_before_ns for member in storm.members.ended}
    frozen = {member.name for member in storm.members.ended if member.was_frozen}
    by_job: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.attempt):
        by_job.setdefault(run.job_id, []).append(run)
        if run.end_ns is None:
            run.end_ns = ended_not_before.get(run.member)
            if run.end_ns is None:
                problems.append(f"attempt {run.attempt} of {run.job_id} never ended in {run.member}")
    for job_id, attempts in by_job.items():
        kind = storm.story.accepted.get(job_id)
        found = _check_attempts(attempts, jobs.get(job_id), kind, frozen)
        problems += [f"{job_id} ({kind}) {problem}" for problem in found]
    completed = [job_id for job_id, job in jobs.items() if job["status"] == "completed" and _is_journaled(job)]
    problems += [f"{job_id} is completed and has never run" for job_id in completed if job_id not in by_job]
    runs = [run for run in runs if run.member not in frozen]
    keyed = [run for run in runs if storm.story.accepted.get(run.job_id) in KEYED]
    problems += ["two jobs with one key have run at once"] if most_at_once(keyed) > 1 else []
    most = most_at_once(runs)
    return problems + ([f"{most} jobs have run at once"] if most > MAX_CONCURRENCY else [])


def _is_journaled(job: Row) -> bool:
    """Whether its runs are in the journal: all but those of models, whose functions are not told where it is."""
    return "model" not in (job["target"] or "")


def _check_attempts(attempts: list[Run], job: Row | None, kind: str | None, frozen: Collection[str]) -> list[str]:
    """The attempts of one job, in order. Who was frozen cannot stop what runs: it counts for nothing."""
    is_once = kind in RUN_ONCE if job is None else job["max_restarts"] == 0 or job["target"] is None
    problems = [f"must run once, and has run {len(attempts)} times"] if is_once and len(attempts) > 1 else []
    for earlier, later in pairwise(attempts):
        if earlier.end_ns is not None and later.start_ns < earlier.end_ns and earlier.member not in frozen:
            problems.append(f"has attempts that overlap: {earlier} and {later}")
    last = attempts[-1]
    if job is not None and job["status"] == "completed" and (last.attempt, last.end) != (job["attempt"], "returned"):
        problems.append(f"is completed in attempt {job['attempt']}, and its last is {last}")
    return problems


def _check_reader(storm: Storm, reader: Reader, lives: dict[str, list[Seen]]) -> list[str]:
    """What a reader saw is a part of the job's life without a gap, up to the end if it was there to see it."""
    problems, seen = list(reader.problems), reader.seen
    if any(earlier.version >= later.version for earlier, later in pairwise(seen)):
        problems.append(f"not in order, or twice: {seen}")
    for earlier, later in pairwise(seen):
        is_same = (earlier.status, earlier.attempt) == (later.status, later.attempt)
        if not is_same and (earlier.status, later.status) not in _ALLOWED:
            problems.append(f"from {earlier} to {later}")
    life = lives.get(reader.job_id)
    if life is not None and seen:
        told = [event for event in life if seen[0].version < event.version <= seen[-1].version]
        had = [event for event in seen[1:] if event in life]
        if told != had:
            problems.append(f"saw {seen}, and the life was {life}")
        if reader.end == "terminal" and seen[-1] != life[-1]:
            problems.append(f"ended with {seen[-1]}, and the life with {life[-1]}")
    if reader.end == "deleted" and reader.job_id not in storm.story.deleted:
        problems.append("was told that the job is deleted, and it was not")
    return problems


def _check_log(place: Place) -> list[str]:
    """Nothing has gone wrong that was not meant to: that jobs fail, and why, is meant; and that there is no server."""
    entries: list[str] = []
    for line in place.log.read_text().splitlines() if place.log.exists() else []:
        if _LOGGED.match(line) or not entries:
            entries.append(line)
        else:
            entries[-1] += f"\n{line}"
    excuses = (*_EXCUSES, *(_AWAY if place.server_url else ()))
    wrong = [entry for entry in entries if " ERROR " in entry or "Traceback" in entry]
    return [f"in the log: {entry}" for entry in wrong if not any(excuse in entry for excuse in excuses)][:20]


def _count(storm: Storm, jobs: dict[str, Row], runs: list[Run]) -> dict[str, object]:
    story = storm.story
    attempts = Counter(run.job_id for run in runs)
    return {
        "kills": story.kills,
        "terminations": story.terminations,
        "pauses": story.pauses,
        **story.hazards,
        "processes": len(storm.members.ended),
        "jobs accepted": len(story.accepted),
        "jobs kept": len(jobs),
        "statuses": dict(Counter(job["status"] for job in jobs.values())),
        "attempts": len(runs),
        "kinds": dict(Counter(story.accepted.values())),
        "jobs run more than once": sum(count > 1 for count in attempts.values()),
        "most at once": most_at_once(runs),
        "cancels asked": len(story.canceled),
        "deletions asked": len(story.deleted),
        "idempotency keys": len(story.keys),
        "uploads begun": story.uploads_begun,
        "most uploads at once": story.most_uploads_at_once,
        "readers": len(story.readers),
        "readers that reconnected": sum(reader.connections > 1 for reader in story.readers),
        "readers' ends": dict(Counter(str(reader.end) for reader in story.readers)),
        "events read": sum(len(reader.seen) for reader in story.readers),
    }
