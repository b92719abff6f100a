"""What becomes of a job whose attempt has ended, was given back, or was lost with its process."""

from datetime import UTC, datetime, timedelta

import pytest

from servicekit import EndedBy
from servicekit.errors import JobLost, NotRestartable, ProcessDied, ProcessStopped, RecordUnreadable, SchedulerClosed
from servicekit.jobs.endings import (
    GIVEN_BACK,
    LOST,
    NOT_BEGUN,
    AttemptFacts,
    choose_ending,
    decide_end,
    end_abandoned,
    end_expired,
    end_process,
    end_unreadable,
)
from servicekit.jobs.outcome import CANCELED, STOPPED, Outcome, completion, describe_error, failure
from servicekit.jobs.retry import Retry
from servicekit.jobs.status import JobStatus, Transition, move_of

JOB = AttemptFacts(
    is_deleted=False, is_asked_to_stop=False, is_restartable=True, max_restarts=1, lost_attempts=1
)  # fmt: skip
FAILED = failure(ValueError("no"))
RETRY = FAILED.to_be_retried(datetime(2026, 1, 1, tzinfo=UTC))
ENDS = [completion("done"), FAILED, CANCELED, STOPPED, failure(ValueError("late"), EndedBy.TIME_LIMIT)]
RETURNS = [RETRY, NOT_BEGUN, GIVEN_BACK, LOST]


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("job", [JOB, JOB._replace(is_asked_to_stop=True), JOB._replace(is_restartable=False)])
def test_an_end_is_written_as_it_is(ending: Outcome, job: AttemptFacts) -> None:
    assert decide_end(ending, job) is ending


@pytest.mark.parametrize("ending", RETURNS)
def test_a_job_that_can_be_run_again_goes_back(ending: Outcome) -> None:
    assert decide_end(ending, JOB) is ending
    assert move_of(ending.transition).target is JobStatus.PENDING


@pytest.mark.parametrize("ending", [RETRY, NOT_BEGUN])
def test_what_was_not_lost_goes_back_though_no_other_process_could_run_it(ending: Outcome) -> None:
    assert decide_end(ending, JOB._replace(is_restartable=False, max_restarts=0, is_kept=False)) is ending


def test_a_stop_costs_no_restart_and_a_death_does() -> None:
    often = JOB._replace(lost_attempts=9)
    assert decide_end(GIVEN_BACK, often) is GIVEN_BACK
    assert (GIVEN_BACK.is_spared, NOT_BEGUN.is_spared, LOST.is_spared) == (True, True, False)
    fate = decide_end(LOST, often)
    assert fate is not None
    assert (fate.transition, fate.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert fate.error == describe_error(ProcessDied(9))


@pytest.mark.parametrize(
    ("ending", "job", "error"),
    [
        (LOST, JOB._replace(max_restarts=0), ProcessDied(1)),
        (GIVEN_BACK, JOB._replace(max_restarts=0), ProcessStopped()),
        (LOST, JOB._replace(is_restartable=False), NotRestartable()),
        (GIVEN_BACK, JOB._replace(is_restartable=False), NotRestartable()),
    ],
)
def test_a_job_that_cannot_be_run_again_fails(ending: Outcome, job: AttemptFacts, error: JobLost) -> None:
    fate = decide_end(ending, job)
    assert fate is not None
    assert (fate.transition, fate.ended_by, fate.error) == (Transition.FAIL, ending.ended_by, describe_error(error))


def test_a_job_that_nobody_keeps_ends_canceled_with_its_process() -> None:
    assert decide_end(GIVEN_BACK, JOB._replace(is_kept=False)) is STOPPED
    assert end_abandoned(is_in_order=True, is_kept=False) is STOPPED


@pytest.mark.parametrize("job", [JOB, JOB._replace(max_restarts=0), JOB._replace(is_restartable=False, is_kept=False)])
def test_whoever_asked_for_the_end_has_it_whatever_else_is_so(job: AttemptFacts) -> None:
    asked = job._replace(is_asked_to_stop=True)
    assert [decide_end(ending, asked) for ending in RETURNS] == [FAILED, CANCELED, CANCELED, CANCELED]


@pytest.mark.parametrize("ending", [*ENDS, *RETURNS])
def test_a_deleted_job_is_forgotten(ending: Outcome) -> None:
    assert decide_end(ending, JOB._replace(is_deleted=True)) is None
    assert decide_end(ending, JOB._replace(is_deleted=True, is_asked_to_stop=True)) is None


@pytest.mark.parametrize(("is_in_order", "ended_by"), [(True, EndedBy.STOP), (False, EndedBy.CRASH)])
def test_what_only_a_process_that_has_gone_could_run_fails(*, is_in_order: bool, ended_by: EndedBy) -> None:
    assert end_process(is_in_order=is_in_order).ended_by is ended_by
    fate = end_abandoned(is_in_order=is_in_order)
    assert (fate.transition, fate.ended_by, fate.error) == (
        Transition.FAIL, ended_by, describe_error(NotRestartable())
    )  # fmt: skip


def test_ends_that_no_attempt_makes() -> None:
    expired, odd = end_expired(5), end_unreadable(RecordUnreadable("Job x", "it is odd"))
    assert (expired.transition, expired.ended_by) == (Transition.FAIL, EndedBy.TIME_LIMIT)
    assert "5" in str(expired.error)
    assert (odd.transition, odd.ended_by, odd.error_traceback) == (Transition.FAIL, EndedBy.CRASH, None)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED = failure(SchedulerClosed())


def choose(
    outcome: Outcome,
    retry: Retry | None = None,
    *,
    failures: int = 1,
    has_begun: bool = True,
    is_canceled: bool = False,
    is_stopped: bool = False,
    is_refused: bool = False,
) -> Outcome:
    return choose_ending(
        outcome,
        retry,
        failures,
        lambda: NOW,
        has_begun=has_begun,
        is_canceled=is_canceled,
        is_stopped=is_stopped,
        is_refused=is_refused,
    )


@pytest.mark.parametrize("outcome", [completion("done"), FAILED, CANCELED, REFUSED])
def test_without_a_reason_to_run_again_the_outcome_ends_the_job(outcome: Outcome) -> None:
    assert choose(outcome) is outcome


def test_a_failure_is_tried_again_until_its_attempts_are_used_up() -> None:
    retry = Retry(attempts=3, delay=10, factor=2, jitter=0)
    assert choose(FAILED, retry) == FAILED.to_be_retried(NOW + timedelta(seconds=10))
    assert choose(FAILED, retry, failures=2) == FAILED.to_be_retried(NOW + timedelta(seconds=20))
    assert choose(FAILED, retry, failures=3) is FAILED


def test_a_target_may_say_when_it_is_tried_again_within_a_year() -> None:
    soon, late = (FAILED._replace(retry_after_seconds=seconds) for seconds in (5.0, 1e12))
    assert choose(soon, Retry()).retry_at == NOW + timedelta(seconds=5)
    assert choose(late, Retry()).retry_at == NOW + timedelta(days=365)


@pytest.mark.parametrize("outcome", [completion("done"), CANCELED, NOT_BEGUN])
def test_only_a_failure_is_tried_again(outcome: Outcome) -> None:
    assert choose(outcome, Retry()) is outcome


def test_a_failure_that_its_options_leave_out_or_of_a_canceled_job_is_not_tried_again() -> None:
    assert choose(FAILED, Retry(except_for=[ValueError])) is FAILED
    assert choose(FAILED, Retry(), is_canceled=True) is FAILED


def test_what_was_stopped_with_its_process_goes_back() -> None:
    assert choose(CANCELED, is_stopped=True) is GIVEN_BACK
    assert choose(CANCELED, is_stopped=True, has_begun=False) is NOT_BEGUN
    assert choose(completion("done"), is_stopped=True).transition is Transition.COMPLETE
    assert choose(FAILED, is_stopped=True) is FAILED


def test_a_canceled_job_whose_process_stops_too_ends_with_what_is_kept_of_it() -> None:
    outcome = CANCELED._replace(artifact_id="01JQRS7XK5N8Z3VQ2M4T6W8Y0A")
    assert choose(outcome, is_stopped=True, is_canceled=True) is outcome
    assert choose(outcome, is_stopped=True, is_canceled=True, has_begun=False) is outcome


def test_a_job_that_failed_as_it_could_submit_nothing_any_more_goes_back() -> None:
    assert choose(REFUSED, is_refused=True) is GIVEN_BACK
    assert choose(FAILED, is_refused=True) is FAILED
    assert choose(FAILED._replace(error_types=()), is_refused=True).transition is Transition.FAIL
