"""What open streams cost, and how soon they tell, where jobs are kept in a file."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.cases.finish_to_event import run_wave
from benchmarks.cases.idle_streams import measure_streams
from benchmarks.contestants import Contestants, in_rounds
from benchmarks.disk import temporary_folder
from benchmarks.figures import Figure, Target, percentile
from benchmarks.servers import raise_open_files_limit, serving

_IN_MEMORY = "in memory"


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, waves = (1, 1) if quick else (5, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        urls = {each.name: f"sqlite:///{folder / each.name}.db" for each in contestants.own}
        servers = {
            each.name: stack.enter_context(serving(each, SERVICEKIT_JOBS_URL=urls[each.name]))
            for each in contestants.own
        }
        for server in servers.values():
            run_wave(server, "warm-up")
        delays = in_rounds(
            contestants.own,
            rounds,
            lambda each: [delay for wave in range(waves) for delay in run_wave(servers[each.name], f"{wave}")],
        )
    for percent, name, targets in ((50, "median", (Target(0.6),)), (99, "p99", ())):
        values = {key: [percentile(each, percent) * 1000 for each in delays[key]] for key in delays}
        yield Figure(f"durable finish to event at the client: {name}", "ms", values, targets)
    yield from measure_idle(contestants, quick=quick)


def measure_idle(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """One server at a time: each has the machine for itself."""
    count, seconds = (100, 0.3) if quick else (10_000, 60.0)
    raise_open_files_limit()
    with temporary_folder() as folder:
        found = {
            each.name: measure_streams(each, count, seconds, SERVICEKIT_JOBS_URL=f"sqlite:///{folder / each.name}.db")
            for each in contestants.own
        }
    memory = measure_streams(contestants.ours, count, seconds)
    cpu = {name: [idle.cpu_percent] for name, idle in found.items()}
    target = Target(1.5)  # 0.9 CPU seconds a minute
    yield Figure(f"{count:,} idle streams, jobs in a file: CPU", "% core", cpu, (target,))
    last = {_IN_MEMORY: [memory.last_seconds], **{name: [idle.last_seconds] for name, idle in found.items()}}
    note = f"in memory {memory.last_seconds:.2f}"
    name = f"{count:,} idle streams, jobs in a file: all have the final event after"
    yield Figure(name, "s", last, (Target(1.2, relative_to=_IN_MEMORY),), note)
