import pytest

from servicekit.jobs.status import TRANSITIONS, JobStatus, Transition, move_of


def test_statuses_are_spelled_as_the_api_spells_them() -> None:
    assert [str(status) for status in JobStatus] == ["pending", "running", "completed", "failed", "canceled"]


def test_nothing_leads_out_of_a_terminal_status() -> None:
    assert {status for status in JobStatus if status.is_terminal} == {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
    }
    assert not any(source.is_terminal for source, _ in TRANSITIONS)


def test_every_status_can_be_reached() -> None:
    assert set(TRANSITIONS.values()) == set(JobStatus)


@pytest.mark.parametrize("transition", Transition)
def test_a_transition_leads_to_one_status_from_wherever_the_table_lets_it_start(transition: Transition) -> None:
    move = move_of(transition)
    for status in JobStatus:
        assert TRANSITIONS.get((status, transition)) == (move.target if status in move.sources else None)
