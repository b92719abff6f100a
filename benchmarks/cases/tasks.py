"""What it costs that a task is found by its name and its parameters are checked, beside an endpoint that submits."""

from collections.abc import Iterator

from benchmarks.cases.over_http import run_round
from benchmarks.clients import request_of
from benchmarks.contestants import Contestants, rotated
from benchmarks.figures import OURS, Figure, Target
from benchmarks.modules import serving_modules

_CONNECTIONS = 32
_REQUESTS = {
    "endpoint": request_of("POST", "/noop"),
    "task": request_of("POST", "/api/v1/tasks/noop/$execute", b'{"parameters": {}}'),
}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Both run the same no-op in the same service, whose jobs are in a file."""
    rounds, jobs = (1, 200) if quick else (9, 3_000)
    rates: dict[str, list[float]] = {key: [] for key in _REQUESTS}
    cpu: dict[str, list[float]] = {key: [] for key in _REQUESTS}
    with serving_modules(contestants.ours) as server:
        for number in range(-1, rounds):
            for key, request in rotated(list(_REQUESTS.items()), number):
                found = run_round(server, jobs, request, _CONNECTIONS)
                if number >= 0:  # the first round is the warm-up
                    rates[key].append(found.per_second)
                    cpu[key].append(found.cpu_microseconds)
    yield Figure("no-ops accepted and completed by $execute", "jobs/s", {OURS: rates["task"]})
    shares = [task / endpoint for task, endpoint in zip(rates["task"], rates["endpoint"], strict=True)]
    note = "an endpoint submits the same no-op by SubmitJob, in the same service"
    yield Figure("by $execute: to an endpoint", "×", {OURS: shares}, (Target(0.85, at_least=True),), note)
    more = [task - endpoint for task, endpoint in zip(cpu["task"], cpu["endpoint"], strict=True)]
    yield Figure("by $execute: more of the server's CPU", "µs", {OURS: more})
