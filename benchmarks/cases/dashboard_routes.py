"""Whether what a dashboard asks a service for costs more when many jobs are kept."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.cases.finished_jobs import request_seconds
from benchmarks.clients import Connection
from benchmarks.contestants import Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, Target
from benchmarks.filled import fill
from benchmarks.servers import serving

_JOBS = "/api/v1/jobs"
_RUN = 200  # so that there is something to tell of the last minutes
_REQUESTS = {
    "activity of the last hour": ("GET", f"{_JOBS}/$activity"),
    "counts": ("GET", f"{_JOBS}/$stats"),
    "counts of a name": ("GET", f"{_JOBS}/$stats?name=noop"),
    "suggestions": ("GET", f"{_JOBS}/$suggestions?field=name&prefix=n"),
    "dry run of canceling all": ("POST", f"{_JOBS}/$cancel?all=true&dry_run=true"),
    "dry run of deleting what has failed": ("POST", f"{_JOBS}/$delete?status_filter=failed&dry_run=true"),
}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """The services stand ready and are asked in turn."""
    rounds, seconds, sizes = (1, 0.05, (100, 1_000)) if quick else (5, 1.0, (1_000, 100_000))
    times: dict[tuple[str, int], list[float]] = {(name, size): [] for name in _REQUESTS for size in sizes}
    with ExitStack() as stack:
        servers = {}
        for size in sizes:
            folder = stack.enter_context(temporary_folder())
            fill(folder / "jobs.db", finished=size, pending=0)
            url = f"sqlite:///{folder}/jobs.db"
            started = serving(contestants.ours, SERVICEKIT_JOBS_URL=url, BENCHMARK_KEEPS_ALL="1")
            servers[size] = stack.enter_context(started)
            for _ in range(_RUN):
                servers[size].post("/restartable")
        for number in range(rounds):
            for size, server in rotated(list(servers.items()), number):
                with Connection(server.address) as connection:
                    for name, (method, path) in _REQUESTS.items():
                        times[name, size].append(request_seconds(connection, path, seconds, method))
    for name in _REQUESTS:
        for size in sizes:
            yield Figure(f"{size:,} jobs kept: {name}", "ms", {OURS: [each * 1000 for each in times[name, size]]})
        least, most = sizes[0], sizes[-1]
        growth = [many / few for many, few in zip(times[name, most], times[name, least], strict=True)]
        # A filter without an index looks at no more than 10,000 jobs, and there are fewer in the smaller file.
        targets = () if name == "counts of a name" else (Target(2),)
        yield Figure(f"{name}: growth from {least:,} to {most:,} jobs kept", "×", {OURS: growth}, targets)
