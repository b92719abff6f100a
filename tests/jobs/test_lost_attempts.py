"""What becomes of a job whose process has died, or was stopped, before it had ended."""

import pytest

from servicekit import EndedBy
from servicekit.errors import JobLost, NotRestartable, ProcessDied, ProcessStopped
from servicekit.jobs.lost_attempts import LostAttempt, find_fate
from servicekit.jobs.status import Transition

DIED = LostAttempt(
    was_stopped=False, is_deleted=False, is_asked_to_stop=False, is_restartable=True, max_restarts=1, attempts=1
)
STOPPED = DIED._replace(was_stopped=True)


@pytest.mark.parametrize("lost", [DIED, STOPPED])
def test_a_job_that_can_be_run_again_goes_back(lost: LostAttempt) -> None:
    ended_by = EndedBy.STOP if lost.was_stopped else EndedBy.CRASH
    assert find_fate(lost) == (Transition.RELEASE, ended_by, None)


def test_a_stop_costs_no_restart_and_a_death_does() -> None:
    assert find_fate(STOPPED._replace(attempts=9)).transition is Transition.RELEASE
    fate = find_fate(DIED._replace(attempts=2))
    assert isinstance(fate.error, ProcessDied)
    assert (fate.transition, fate.ended_by, fate.error.attempts) == (Transition.FAIL, EndedBy.CRASH, 2)


@pytest.mark.parametrize(
    ("lost", "kind"),
    [
        (DIED._replace(max_restarts=0), ProcessDied),
        (STOPPED._replace(max_restarts=0), ProcessStopped),
        (DIED._replace(is_restartable=False), NotRestartable),
        (STOPPED._replace(is_restartable=False), NotRestartable),
    ],
)
def test_a_job_that_cannot_be_run_again_fails(lost: LostAttempt, kind: type[JobLost]) -> None:
    fate = find_fate(lost)
    assert (fate.transition, type(fate.error)) == (Transition.FAIL, kind)


@pytest.mark.parametrize("lost", [DIED, STOPPED, DIED._replace(max_restarts=0), STOPPED._replace(is_restartable=False)])
def test_whoever_asked_for_the_end_has_it_whatever_else_is_so(lost: LostAttempt) -> None:
    assert find_fate(lost._replace(is_asked_to_stop=True)) == (Transition.CANCEL, EndedBy.CANCEL, None)
    assert find_fate(lost._replace(is_asked_to_stop=True, is_deleted=True)).transition is None
