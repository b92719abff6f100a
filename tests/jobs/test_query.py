"""Which jobs a filter lets through."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from ulid import ULID

from servicekit import ConfigurationError, JobRecord, JobStatus
from servicekit.jobs.query import ALL_JOBS, JobFilter

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def record(**changes: Any) -> JobRecord:
    values = {
        "id": str(ULID.from_datetime(NOON)),
        "status": JobStatus.FAILED,
        "submitted_at": NOON,
        "started_at": None,
        "finished_at": None,
        "error": "OSError: no space left",
        "artifact_id": None,
        "name": "Backup",
        "attempt": 1,
        "version": 3,
        "progress": None,
        "tags": ("gpu", "nightly"),
        "cancel_requested_at": None,
        "queue": "default",
        "priority": 0,
        "scheduled_at": None,
        "ended_by": None,
        "retry_of": None,
        "schedule": None,
        "parent": "01JQRS7X0000000000000000AB",
        "owner": "ana",
        "metadata": {"customer": "c-17", "order": 17, "paid": True, "rate": 0.5, "lines": ["a"]},
        "process": None,
        "elapsed_seconds": None,
        "remaining_seconds": None,
        "error_traceback": None,
        "attempts": (),
        "restart_problem": None,
        "pending_reason": None,
        "runner": None,
    }
    return JobRecord(**{**values, **changes})


@pytest.mark.parametrize(
    ("matching", "failing"),
    [
        ({"statuses": frozenset([JobStatus.FAILED, JobStatus.PENDING])}, {"statuses": frozenset([JobStatus.PENDING])}),
        ({"name": "Backup"}, {"name": "backup"}),
        ({"tag": "nightly"}, {"tag": "night"}),
        ({"parent": "01JQRS7X0000000000000000AB"}, {"parent": "01JQRS7X0000000000000000AC"}),
        ({"owner": "ana"}, {"owner": "Ana"}),
        ({"queue": "default"}, {"queue": "Default"}),
        ({"error": "OSERROR: no"}, {"error": "Backup"}),
        ({"metadata": {"customer": "c-17"}}, {"metadata": {"customer": "c-1"}}),
        ({"metadata": {"order": "17", "paid": "true"}}, {"metadata": {"order": "17", "paid": "True"}}),
        ({"metadata": {}}, {"metadata": {"rate": "0.5"}}),
        ({"metadata": {}}, {"metadata": {"nobody": ""}}),
        ({"search": "bACK"}, {"search": "backup "}),
        ({"search": "NO SPACE"}, {"search": "traceback"}),
        ({"submitted_after": NOON}, {"submitted_after": NOON + timedelta(milliseconds=1)}),
        ({"submitted_before": NOON + timedelta(milliseconds=1)}, {"submitted_before": NOON}),
        ({"submitted_after": NOON.astimezone(timezone(timedelta(hours=9)))}, {"submitted_after": LATEST}),
    ],
)
def test_everything_that_is_asked_for_must_hold(matching: dict[str, Any], failing: dict[str, Any]) -> None:
    assert ALL_JOBS.matches(record())
    assert JobFilter(**matching).matches(record())
    assert not JobFilter(**failing).matches(record())


def test_one_thing_that_does_not_hold_is_enough() -> None:
    wanted = JobFilter(name="Backup", tag="gpu", search="space")
    assert wanted.matches(record())
    for changes in ({"name": "Other"}, {"tags": ()}, {"error": None}):
        assert not wanted.matches(record(**changes))


def test_a_search_in_a_job_without_an_error_looks_at_its_name() -> None:
    assert JobFilter(search="backup").matches(record(error=None))
    assert not JobFilter(search="space").matches(record(error=None))


@pytest.mark.parametrize("option", ["submitted_after", "submitted_before"])
def test_a_time_without_a_zone_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} must be a time with a time zone"):
        JobFilter(**{option: datetime(2026, 1, 31)})  # type: ignore[arg-type]  # noqa: DTZ001
