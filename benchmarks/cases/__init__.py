"""One question per file. `measure(contestants, quick=...)` yields the figures that answer it, as they come."""

from collections.abc import Callable, Iterator

from benchmarks.cases import (
    across_processes,
    artifacts,
    busy_service,
    controlled,
    durable_jobs,
    durable_over_http,
    durable_streams,
    durable_submissions,
    fairness,
    finish_to_event,
    finished_jobs,
    full_load,
    idle_streams,
    in_process,
    jobs_kept,
    memory,
    models,
    over_http,
    reporting,
    restart,
    runners,
    start_up,
    tasks,
)
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
    "durable-submissions": durable_submissions.measure,
    "durable-jobs": durable_jobs.measure,
    "durable-over-http": durable_over_http.measure,
    "durable-streams": durable_streams.measure,
    "jobs-kept": jobs_kept.measure,
    "restart": restart.measure,
    "across-processes": across_processes.measure,
    "full-load": full_load.measure,
    "reporting": reporting.measure,
    "runners": runners.measure,
    "controlled": controlled.measure,
    "fairness": fairness.measure,
    "start-up": start_up.measure,
    "artifacts": artifacts.measure,
    "tasks": tasks.measure,
    "models": models.measure,
}

__all__ = ["CASES", "Contestants"]
