"""How many no-ops a second are accepted and completed over HTTP."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.clients import load, request_of
from benchmarks.contestants import Contestants
from benchmarks.figures import LIMIT, PEER, Figure, Target
from benchmarks.servers import Server, serving

_CONNECTIONS = 32
_POLL_SECONDS = 0.001
_SUBMIT = request_of("POST", "/noop")


@dataclass(frozen=True)
class Round:
    per_second: float
    cpu_microseconds: float
    client_share: float
    """How much of the time the client's core was busy: at 1 it would be the client that is measured."""


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """All servers stand ready on one core and are asked in turn."""
    rounds, jobs = (1, 300) if quick else (9, 5_000)
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(serving(each)) for each in contestants}
        for server in servers.values():
            run_round(server, jobs)
        results = contestants.in_rounds(rounds, lambda each: run_round(servers[each.name], jobs))
    rates = {name: [each.per_second for each in results[name]] for name in results}
    cpu = {name: [each.cpu_microseconds for each in results[name]] for name in results}
    busiest = max(each.client_share for each in results[LIMIT])
    note = f"{_CONNECTIONS} connections; the client's core was at most {busiest:.0%} busy"
    targets = (Target(2, at_least=True, relative_to=PEER),)
    yield Figure("no-ops accepted and completed over HTTP", "jobs/s", rates, targets, note)
    note = (
        "the limit is FastAPI in the same shape: an included router, one dependency, a model and `Location` as answer"
    )
    yield Figure("the server's CPU for one of them", "µs", cpu, (Target(1.25, relative_to=LIMIT),), note)


def run_round(server: Server, jobs: int, submit: bytes = _SUBMIT, connections: int = _CONNECTIONS) -> Round:
    wanted = server.get("/done") + jobs
    cpu, client_cpu, clock = server.cpu_seconds(), time.process_time(), time.perf_counter()
    asyncio.run(load(server.address, submit, jobs, connections))
    client_cpu = time.process_time() - client_cpu
    while server.get("/done") < wanted:
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - clock
    return Round(jobs / seconds, (server.cpu_seconds() - cpu) / jobs * 1e6, client_cpu / seconds)
