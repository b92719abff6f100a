import os
import time
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from servicekit.errors import InvalidJobId
from servicekit.jobs.ids import JobIds, parse_job_id


def test_ids_are_ulids_of_this_moment() -> None:
    before = ULID()
    job_id = JobIds().next_id()
    assert str(ULID.from_str(job_id)) == job_id
    assert 0 <= ULID.from_str(job_id).milliseconds - before.milliseconds < 10_000


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    ids = JobIds()
    made = [ids.next_id() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))


def test_ids_go_on_upwards_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    nanoseconds = 1_700_000_000_000_000_000
    monkeypatch.setattr("servicekit.jobs.ids.time.time_ns", lambda: nanoseconds)
    ids = JobIds()
    made = [ids.next_id()]
    nanoseconds -= 3_600_000_000_000
    made += [ids.next_id() for _ in range(1_100_000)]  # more than the counter holds
    assert all(earlier < later for earlier, later in pairwise(made))
    assert all(len(job_id) == 26 for job_id in made)


def test_two_schedulers_do_not_make_the_same_ids() -> None:
    first, second = JobIds(), JobIds()
    assert not {first.next_id() for _ in range(1_000)} & {second.next_id() for _ in range(1_000)}


@pytest.mark.parametrize("seconds", [1, -3600], ids=["the clock goes on", "the clock is set back"])
def test_a_forked_child_makes_other_ids_than_its_parent(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    ids = JobIds()
    ids.next_id()  # random bits are drawn
    beginning = time.time_ns()
    moments = count(beginning + seconds * 1_000_000_000, 1_000_000)
    monkeypatch.setattr("servicekit.jobs.ids.time.time_ns", lambda: next(moments))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, "".join(ids.next_id() for _ in range(300)).encode())
        finally:
            os._exit(0)  # whatever happens: else the tests would run on in the child, too
    made = [ids.next_id() for _ in range(300)]
    os.close(writing)
    with open(reading, "rb") as pipe:
        childs = pipe.read().decode()
    os.waitpid(child, 0)
    assert len(childs) == 300 * 26
    assert not {childs[start : start + 26] for start in range(0, len(childs), 26)} & set(made)


@given(st.integers(0, 2**128 - 1))
def test_every_ulid_is_an_id_in_either_case_and_as_an_object(number: int) -> None:
    ulid = ULID.from_int(number)
    assert parse_job_id(str(ulid)) == parse_job_id(str(ulid).lower()) == parse_job_id(ulid) == str(ulid)


@given(st.text(max_size=40).filter(lambda text: len(text) != 26))
def test_other_text_is_no_id(text: str) -> None:
    with pytest.raises(InvalidJobId):
        parse_job_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",  # beyond 128 bits
        "01JQRS7X................",
        "01JQRS7XK5N8Z3VQ2M4T6W8Y0U",  # U is not in the alphabet
        "٠١JQRS7XK5N8Z3VQ2M4T6W8Y0A",  # digits, but not these
        "01JQRS7XK5N8Z3VQ2M4T6W8Y0A\n",
        "",
    ],
)
def test_what_only_looks_like_a_ulid_is_refused(text: str) -> None:
    with pytest.raises(InvalidJobId, match="26 characters"):
        parse_job_id(text)
