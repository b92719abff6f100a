"""What it costs a service that its jobs are on the disk before they are acknowledged."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from benchmarks.cases.over_http import Round, run_round
from benchmarks.clients import request_of
from benchmarks.contestants import Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import Figure, Target
from benchmarks.servers import serving

_IN_MEMORY = "in memory"
_SUBMIT = request_of("POST", "/restartable")


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """All services are ours, stand ready on one core and are asked in turn."""
    rounds, jobs = (1, 200) if quick else (9, 5_000)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        servers = {_IN_MEMORY: stack.enter_context(serving(contestants.ours))}
        for each in contestants.own:
            url = f"sqlite:///{folder / each.name}.db"
            servers[each.name] = stack.enter_context(serving(each, SERVICEKIT_JOBS_URL=url))
        for connections in (8, 32):
            results: dict[str, list[Round]] = {name: [] for name in servers}
            for number in range(-1, rounds):
                for name, server in rotated(list(servers.items()), number):
                    result = run_round(server, jobs, _SUBMIT, connections)
                    if number >= 0:  # the first round is the warm-up
                        results[name].append(result)
            yield from figures_of(connections, results)
    yield transactions(contestants, jobs, 32)


def figures_of(connections: int, results: dict[str, list[Round]]) -> Iterator[Figure]:
    rates = {name: [each.per_second for each in results[name]] for name in results}
    cpu = {name: [each.cpu_microseconds for each in results[name]] for name in results}
    name = f"durable no-ops over HTTP, {connections} connections"
    note = f"in memory {median(rates[_IN_MEMORY]):,.0f}"
    yield Figure(name, "jobs/s", rates, (Target(0.7, at_least=True, relative_to=_IN_MEMORY),), note)
    shares = {
        name: [durable / memory for durable, memory in zip(rates[name], rates[_IN_MEMORY], strict=True)]
        for name in rates
        if name != _IN_MEMORY
    }
    yield Figure(f"{name}: share of the rate in memory", "×", shares)
    note = f"in memory {median(cpu[_IN_MEMORY]):,.0f}"
    yield Figure(f"{name}: the server's CPU for one", "µs", cpu, note=note)


def transactions(contestants: Contestants, jobs: int, connections: int) -> Figure:
    """Of services of their own, which count and are not timed."""
    counts: dict[str, list[float]] = {}
    for each in contestants.own:
        with (
            temporary_folder() as folder,
            serving(each, SERVICEKIT_JOBS_URL=f"sqlite:///{folder}/jobs.db", BENCHMARK_COUNTS_COMMITS="1") as server,
        ):
            run_round(server, jobs, _SUBMIT, connections)
            before = server.get("/commits")
            run_round(server, jobs, _SUBMIT, connections)
            counts[each.name] = [(server.get("/commits") - before) / jobs]
    name = f"durable no-ops over HTTP, {connections} connections: transactions for one"
    return Figure(name, "", counts, (Target(0.1),))
