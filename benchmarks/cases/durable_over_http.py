"""What it costs a service that its jobs are on the disk before they are acknowledged."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from benchmarks.cases.over_http import Round, run_round
from benchmarks.clients import request_of
from benchmarks.contestants import Contestants, rotated
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, Target
from benchmarks.servers import serving

_IN_MEMORY = "in memory"
_SUBMIT = request_of("POST", "/restartable")


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Both services are ours, stand ready on one core and are asked in turn."""
    rounds, jobs = (1, 200) if quick else (9, 5_000)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        urls = {OURS: f"sqlite:///{folder / 'jobs.db'}", _IN_MEMORY: "memory://"}
        servers = {
            name: stack.enter_context(serving(contestants.ours, SERVICEKIT_JOBS_URL=url)) for name, url in urls.items()
        }
        for connections in (8, 50):
            results: dict[str, list[Round]] = {name: [] for name in servers}
            for number in range(-1, rounds):
                for name, server in rotated(list(servers.items()), number):
                    result = run_round(server, jobs, _SUBMIT, connections)
                    if number >= 0:  # the first round is the warm-up
                        results[name].append(result)
            rates = {name: [each.per_second for each in results[name]] for name in results}
            cpu = {name: [each.cpu_microseconds for each in results[name]] for name in results}
            name = f"durable no-ops over HTTP, {connections} connections"
            note = f"in memory {median(rates[_IN_MEMORY]):,.0f}"
            yield Figure(name, "jobs/s", rates, (Target(0.7, at_least=True, relative_to=_IN_MEMORY),), note)
            shares = [durable / memory for durable, memory in zip(rates[OURS], rates[_IN_MEMORY], strict=True)]
            yield Figure(f"{name}: share of the rate in memory", "×", {OURS: shares})
            note = f"in memory {median(cpu[_IN_MEMORY]):,.0f}"
            yield Figure(f"{name}: the server's CPU for one", "µs", cpu, note=note)
