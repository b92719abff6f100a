"""How soon one process knows what another one has done in PostgreSQL, and how soon it takes over from a dead one."""

import os
import signal
import time
from collections.abc import Iterator, Sequence

from benchmarks.cases.across_processes import run_wave
from benchmarks.contestants import Contestant, Contestants
from benchmarks.figures import OURS, Figure, Target, percentile
from benchmarks.postgres import Database, on_postgres
from benchmarks.servers import serving
from benchmarks.worker import working

_FLOOD_NOTE = "ten slots; those of the others, of 20 ms in another queue, are all taken, and one is free every 2 ms"
_STOPPED = {signal.SIGKILL: ("kill -9", 4), signal.SIGSTOP: ("a stop by SIGSTOP", 10)}
"""What happens to a process, and in how many seconds its job has to run again elsewhere."""


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Always ours: one process submits, cancels or streams, and another one runs the jobs."""
    ours, jobs, waves = contestants.ours, *((5, 1) if quick else (200, 10))
    for pending in (1_000,) if quick else (0, 100_000):
        with database.new_database() as url:
            waits = pick_ups(ours, url, pending, jobs)
        targets, note = ((Target(6), Target(50)), _FLOOD_NOTE) if pending else ((None, None), "")
        yield from figures_of(f"add_job to the first line elsewhere, {pending:,} others pending", waits, targets, note)
    with database.new_database() as url:
        yield from figures_of(
            "finish elsewhere to the event at a client", events(ours, url, waves), (Target(5), Target(20))
        )
    with database.new_database() as url:
        yield from figures_of("cancel to CancelledError elsewhere", cancellations(ours, url, jobs), (None, Target(20)))
    for number, (name, bound) in _STOPPED.items():
        if quick and number is signal.SIGSTOP:
            continue  # its lease would have to run out
        with database.new_database() as url:
            seconds = [rescue(ours, url, number) for _ in range(1 if quick else 3)]
        yield Figure(f"from {name} to the job's next first line elsewhere", "s", {OURS: seconds}, (Target(bound),))


def figures_of(
    name: str, delays: Sequence[float], targets: tuple[Target | None, Target | None], note: str = ""
) -> Iterator[Figure]:
    for percent, label, target in zip((50, 99), ("median", "p99"), targets, strict=True):
        values = {OURS: [percentile(delays, percent) * 1000]}
        yield Figure(f"{name}: {label}", "ms", values, (target,) if target else (), note)


def settings_of(url: str) -> dict[str, str]:
    """Nothing is logged: two lines for each job would tell the terminal, and nobody else."""
    return {"SERVICEKIT_JOBS_URL": url, "BENCHMARK_IS_QUIET": "1"}


def pick_ups(ours: Contestant, url: str, pending: int, jobs: int) -> list[float]:
    """Seconds from the call of `add_job` to the first line of the job, for some that come one by one."""
    if pending:
        ours.run("benchmarks.served", "flood", url, pending)
    with working(ours, **settings_of(url), BENCHMARK_MAX_CONCURRENCY="10" if pending else "") as worker:
        submitted_at = ours.run("benchmarks.served", "pick-up", url, jobs)
        return [at - submitted_at[name] for name, at in worker.read_stamps(jobs).items()]


def events(ours: Contestant, url: str, waves: int) -> list[float]:
    """Seconds from the end of a job until the client of a service, which only accepts jobs, has the event of it."""
    with (
        serving(ours, **settings_of(url), BENCHMARK_ACCEPTS_ONLY="1") as server,
        working(ours, **settings_of(url)) as worker,
    ):
        run_wave(server, worker, "warm-up")
        return [delay for wave in range(waves) for delay in run_wave(server, worker, f"{wave}")]


def cancellations(ours: Contestant, url: str, jobs: int) -> list[float]:
    """Seconds from the call of `cancel` until the target has its `CancelledError`."""
    with working(ours, **settings_of(url)) as worker:
        canceled_at = ours.run("benchmarks.served", "cancel", url, jobs)
        stamps = worker.read_stamps(2 * jobs)  # each tells as well when it began
        return [stamps[name] - at for name, at in canceled_at.items()]


def rescue(ours: Contestant, url: str, number: signal.Signals) -> float:
    """Seconds from the end of a process until its job's first line in another one."""
    with working(ours, **settings_of(url)) as first:
        ours.run("benchmarks.served", "stay", url)
        first.read_stamps(1)
        with working(ours, **settings_of(url)) as second:
            os.kill(first.process.pid, number)
            stopped_at = time.monotonic()
            ((_, began_at),) = second.read_stamps(1).items()
    return began_at - stopped_at
