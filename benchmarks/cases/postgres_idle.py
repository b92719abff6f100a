"""What processes cost a PostgreSQL server, and themselves, while nothing happens."""

import time
from collections.abc import Iterator

from benchmarks.contestants import Contestants
from benchmarks.figures import OURS, Figure, Target
from benchmarks.postgres import Database, on_postgres
from benchmarks.servers import serving
from benchmarks.worker import working

_SETTLE_SECONDS = 5.0
_PROCESSES = 2
_NOTE = "half of what a service that only accepts jobs, and a worker, need together"
_CPU = Target(5)
"""Milliseconds in each second."""


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """CPU first: to count statements costs the server something."""
    rounds, seconds = (1, 0.3) if quick else (2, 10.0)
    time.sleep(min(_SETTLE_SECONDS, seconds))
    alone = cpu_of_the_server(database, seconds)
    with database.new_database() as url:
        settings = {"SERVICEKIT_JOBS_URL": url}
        with (
            serving(contestants.ours, **settings, BENCHMARK_ACCEPTS_ONLY="1") as service,
            working(contestants.ours, **settings) as worker,
        ):
            time.sleep(min(_SETTLE_SECONDS, seconds))
            clients, servers = [], []
            for _ in range(rounds):
                cpu = service.cpu_seconds() + worker.cpu_seconds()
                servers.append((cpu_of_the_server(database, seconds) - alone) / _PROCESSES)
                cpu = service.cpu_seconds() + worker.cpu_seconds() - cpu
                clients.append(cpu / seconds / _PROCESSES * 1000)
            statements = [database.count_statements(url, seconds) / seconds / _PROCESSES for _ in range(rounds)]
    name = "a process without jobs on PostgreSQL"
    yield Figure(f"{name}: statements", "1/s", {OURS: statements}, (Target(1.5),), _NOTE)
    yield Figure(f"{name}: its CPU", "ms/s", {OURS: clients}, (_CPU,), "with uvicorn's own ticks")
    yield Figure(f"{name}: the server's CPU", "ms/s", {OURS: servers}, (_CPU,), f"beside {alone:.2f} for nobody")


def cpu_of_the_server(database: Database, seconds: float) -> float:
    """Milliseconds in each second."""
    cpu = database.cpu_seconds()
    time.sleep(seconds)
    return (database.cpu_seconds() - cpu) / seconds * 1000
