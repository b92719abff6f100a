"""Metrics of jobs, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from servicekit.jobs.events import JobEvent
from servicekit.jobs.status import JobStatus

# Jobs last from milliseconds to hours, and the defaults of Prometheus end at ten seconds.
_DURATION_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400)


class JobMetrics:
    """Counts the events of the hub. The only label is the status: names of jobs could make any number of series."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
        self._registry = registry
        self._submitted = Counter("jobs_submitted_total", "Total jobs submitted", registry=registry)
        self._finished = Counter("jobs_finished_total", "Total jobs ended, by status", ["status"], registry=registry)
        self._deleted = Counter("jobs_deleted_total", "Total jobs deleted, whatever their status", registry=registry)
        self._duration = Histogram(
            "job_duration_seconds", "Job execution time", buckets=_DURATION_BUCKETS, registry=registry
        )
        self._pending = Gauge("jobs_pending", "Jobs waiting to start", registry=registry)
        self._running = Gauge(
            "jobs_running", "Jobs at work, deleted ones that have not stopped included", registry=registry
        )
        self._streams = Gauge("job_streams_open", "Open event streams", registry=registry)
        for status in JobStatus:
            if status.is_terminal:
                self._finished.labels(status.value)  # a series at 0: a rate needs one before the first job ends

    def observe(self, event: JobEvent) -> None:
        """Count a submission, an end or a deletion. Other events are ignored."""
        record = event.record
        if record is None:
            self._deleted.inc()
        elif not event.is_transition:
            return
        elif record.version == 1:  # not by the status: a job that was given back is pending again
            self._submitted.inc()
        elif record.status.is_terminal and record.finished_at is not None:
            self._finished.labels(record.status.value).inc()
            if record.started_at is not None:
                self._duration.observe((record.finished_at - record.started_at).total_seconds())

    def render(self, *, pending: int, running: int, open_streams: int) -> bytes:
        """All metrics in the text format of Prometheus, with these present numbers."""
        self._pending.set(pending)
        self._running.set(running)
        self._streams.set(open_streams)
        return generate_latest(self._registry)
