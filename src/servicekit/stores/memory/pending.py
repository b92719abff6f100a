"""Pending jobs, from their submission to their turn."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from servicekit.jobs.options import RunnerKind, seconds_of
from servicekit.jobs.queues import QueueRecord
from servicekit.stores.memory.job import Job
from servicekit.stores.memory.key_slots import KeySlots
from servicekit.stores.memory.priority_queue import PriorityQueue
from servicekit.stores.memory.ready_queues import ReadyQueues


class PendingJobs:
    """The waits of pending jobs: for their time, then for a slot of their concurrency key, then for their turn.

    A place is held from the moment when its job is ready until that has ended, or waits for another time. A ready job
    whose queue is paused or full loses it to one that waits for it in another queue, which is not. `on_ready` is called
    when something has become ready that was waiting already.
    """

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        self._key_slots = KeySlots()
        self._queues = ReadyQueues()
        self._not_due: PriorityQueue[tuple[datetime, str], Job] = PriorityQueue()
        self._expiring: PriorityQueue[tuple[datetime, str], Job] = PriorityQueue()

    def add(self, job: Job, now: datetime) -> None:
        """The job is pending from now on."""
        self._queues.enter(job)
        if job.options.queue_timeout is not None:
            job.expires_at = (job.scheduled_at or now) + timedelta(seconds=seconds_of(job.options.queue_timeout))
            self._expiring.put(job, (job.expires_at, job.id))
        if job.scheduled_at is not None and job.scheduled_at > now:
            self._not_due.put(job, (job.scheduled_at, job.id))
        else:
            self._seek_place(job)

    def _seek_place(self, job: Job) -> None:
        key = job.concurrency_key
        if key is None or self._key_slots.take(key, job):
            self._queues.make_ready(job)

    def remove(self, job: Job) -> None:
        """The job is not pending any more, and will not run."""
        key, was_ready = job.concurrency_key, job.turn is not None
        self._queues.leave(job)
        self._expiring.discard(job)
        if job in self._not_due:
            self._not_due.discard(job)
        elif key is not None and not was_ready:
            self._key_slots.stop_waiting(key, job)
        elif key is not None:
            self._give_place_back(key, job)

    def take(self, limit: int, excluding: Collection[RunnerKind], queue_limits: Mapping[str, int]) -> list[Job]:
        """Take jobs whose turn it is, to run them until `end`."""
        jobs = self._take(limit, excluding, queue_limits)
        if self._key_slots.may_be_stuck and self._pass_places_on() and len(jobs) < limit:
            jobs += self._take(limit - len(jobs), excluding, queue_limits)
        return jobs

    def _take(self, limit: int, excluding: Collection[RunnerKind], queue_limits: Mapping[str, int]) -> list[Job]:
        jobs, may_expire = self._queues.take(limit, excluding, queue_limits), bool(self._expiring)
        for job in jobs:
            if may_expire:
                self._expiring.discard(job)
            if job.concurrency_key is not None:
                self._key_slots.start(job.concurrency_key, job)
        return jobs

    def _pass_places_on(self, *, of_all: bool = False) -> bool:
        """Give slots of jobs that cannot start to jobs that can. Return whether there were any."""
        passed = self._key_slots.pass_on(self._queues.has_room_for, of_all=of_all)
        for job, heir in passed:
            self._queues.make_unready(job)
            self._queues.make_ready(heir)
        if passed:
            self._on_ready()
        return bool(passed)

    def end(self, job: Job) -> None:
        """The job, which was taken, has stopped running."""
        self._queues.end(job)
        if job.concurrency_key is not None:
            self._give_place_back(job.concurrency_key, job)

    def put_back(self, job: Job) -> None:
        """The job, which was taken, could not begin. It is ready as before, and holds its slot."""
        self._queues.put_back(job)
        if job.concurrency_key is not None:
            self._key_slots.stop(job.concurrency_key, job)
        if job.expires_at is not None:
            self._expiring.put(job, (job.expires_at, job.id))

    def _give_place_back(self, key: str, job: Job) -> None:
        following = self._key_slots.give_back(key, job)
        if following is not None:
            self._queues.make_ready(following)
            self._on_ready()

    def make_due(self, now: datetime) -> None:
        """Let the jobs go on whose time has come."""
        while (first := self._not_due.first()) is not None and first[0][0] <= now:
            self._not_due.discard(first[1])
            self._seek_place(first[1])
            self._on_ready()

    def move(self, duration: timedelta) -> None:
        """The clock was set by so much. Move the ends of waits with it; a `start_at` stays as it is."""
        is_asked_for = {job.id for _, job in self._not_due.list() if job.scheduled_at == job.options.start_at}
        for (moment, job_id), job in self._not_due.list():
            if job_id not in is_asked_for:
                job.scheduled_at = moment + duration
                self._not_due.put(job, (job.scheduled_at, job_id))
        for (moment, job_id), job in self._expiring.list():
            if job_id not in is_asked_for:
                job.expires_at = moment + duration
                self._expiring.put(job, (job.expires_at, job_id))

    def find_expired(self, now: datetime) -> Job | None:
        """A job that has waited for longer than it may."""
        first = self._expiring.first()
        return first[1] if first is not None and first[0][0] <= now else None

    def next_moment(self) -> datetime | None:
        """The next moment at which a wait ends."""
        firsts = [first[0][0] for queue in (self._not_due, self._expiring) if (first := queue.first()) is not None]
        return min(firsts, default=None)

    def count_pending(self, queue: str) -> int:
        return self._queues.count_pending(queue)

    def list_queues(self) -> list[QueueRecord]:
        return self._queues.list_records()

    def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        self._queues.set_paused(name, is_paused=is_paused)
        self._pass_places_on(of_all=True)
        if not is_paused:
            self._on_ready()
