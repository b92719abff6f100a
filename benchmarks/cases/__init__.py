"""One question per file. `measure(contestants, quick=...)` yields the figures that answer it, as they come."""

from collections.abc import Callable, Iterator

from benchmarks.cases import busy_service, finish_to_event, finished_jobs, idle_streams, in_process, memory, over_http
from benchmarks.contestants import Contestants
from benchmarks.figures import Figure

CASES: dict[str, Callable[..., Iterator[Figure]]] = {
    "in-process": in_process.measure,
    "memory": memory.measure,
    "over-http": over_http.measure,
    "finish-to-event": finish_to_event.measure,
    "finished-jobs": finished_jobs.measure,
    "busy-service": busy_service.measure,
    "idle-streams": idle_streams.measure,
}

__all__ = ["CASES", "Contestants"]
