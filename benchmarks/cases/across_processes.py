"""How soon a process knows what another one has done to a job, and what it costs two processes to wait for that."""

import time
from collections.abc import Iterator

from benchmarks.cases.finish_to_event import AT_ONCE, watch_wave
from benchmarks.contestants import Contestants
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, Target, percentile
from benchmarks.servers import Server, serving
from benchmarks.worker import WorkerProcess, working

_SETTLE_SECONDS = 1.0


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """A service accepts and streams, a worker process runs: they have nothing in common but a file."""
    rounds, waves, seconds = (1, 1, 0.3) if quick else (5, 5, 10.0)
    ours = contestants.ours
    with temporary_folder() as folder:
        url = {"SERVICEKIT_JOBS_URL": f"sqlite:///{folder / 'jobs.db'}"}
        with serving(ours, **url, BENCHMARK_ACCEPTS_ONLY="1") as server, working(ours, **url) as worker:
            run_wave(server, worker, "warm-up")
            delays = [[d for wave in range(waves) for d in run_wave(server, worker, f"{wave}")] for _ in range(rounds)]
            time.sleep(min(_SETTLE_SECONDS, seconds))
            idle = [[percent_of_core(each, seconds) for each in (server, worker)] for _ in range(rounds)]
    for percent, label, bound in ((50, "median", 25), (99, "p99", 100)):
        values = {OURS: [percentile(each, percent) * 1000 for each in delays]}
        yield Figure(f"finish in a worker process to event at the client: {label}", "ms", values, (Target(bound),))
    for index, (label, note) in enumerate((("a service", "with uvicorn's own ticks"), ("a worker process", ""))):
        yield Figure(
            f"idle with an open file: {label}", "% core", {OURS: [e[index] for e in idle]}, (Target(0.5),), note
        )


def run_wave(server: Server, worker: WorkerProcess, wave: str) -> list[float]:
    """Seconds from the finish in one process to the event from another, for some jobs that run at the same time."""
    seen_at = watch_wave(server, wave, "/stamped")
    finished_at = worker.read_stamps(AT_ONCE)
    return [seen - finished_at[name] for name, seen in seen_at.items()]


def percent_of_core(process: Server | WorkerProcess, seconds: float) -> float:
    cpu, clock = process.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (process.cpu_seconds() - cpu) / (time.monotonic() - clock) * 100
