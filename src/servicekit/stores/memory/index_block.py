"""A few dozen jobs of the index."""

from typing import Generic, TypeVar

from servicekit.jobs.status import JobStatus

J = TypeVar("J")


class IndexBlock(Generic[J]):
    """Jobs in order of submission, and how many have each status. The code that changes a status counts it here."""

    __slots__ = ("counts", "first_id", "jobs")

    def __init__(self, first_id: str) -> None:
        self.first_id = first_id
        self.jobs: list[J] = []
        self.counts = dict.fromkeys(JobStatus, 0)
