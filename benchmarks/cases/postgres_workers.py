"""How many no-ops a second several processes run and finish in PostgreSQL, and how much of a limit of all they use."""

from collections.abc import Iterator

from benchmarks.contestants import Contestant, Contestants, rotated
from benchmarks.costs import Costs
from benchmarks.figures import OURS, Figure, Target
from benchmarks.postgres import Database, on_postgres
from benchmarks.teams import Task, cost_of

_PLAIN = {1: "no-ops run by 1 process", 2: "no-ops run by 2 processes", 4: "no-ops run by 4 processes"}
_LIMITED = "no-ops run by 4 processes, of which 100 may run at once"
_NARROW = "jobs of 20 ms run by 3 processes, of which 5 may run at once"
_TASKS = {
    **{name: Task(workers) for workers, name in _PLAIN.items()},
    _LIMITED: Task(4, limit=100),
    _NARROW: Task(3, limit=5, milliseconds=20, jobs=2_000, seconds=4, peers_width=10),
}
_JOBS = {OURS: 20_000, "pgqueuer": 20_000, "procrastinate": 1_000}
"""A second or two of work."""
_PEERS_TASKS = {"pgqueuer": (_PLAIN[4], _LIMITED, _NARROW), "procrastinate": (_PLAIN[4],)}
"""Procrastinate has no limit of jobs over several processes."""
_NOTES = {_NARROW: "250 would be all that the limit allows"}


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """The jobs wait before the processes begin, so that what is measured are claims and ends."""
    tasks = [name for name in _TASKS if not quick or name not in (_PLAIN[1], _PLAIN[2])]
    costs = {name: Costs() for name in tasks}
    measured = [*contestants.own, *contestants.served_peers]
    questions = [(each, name) for name in tasks for each in measured if name in _PEERS_TASKS.get(each.name, tasks)]
    for number in range(1 if quick else 3):
        for contestant, name in rotated(questions, number):
            costs[name].add(contestant, cost_of(contestant, database, task_of(contestant, name, quick)))
    for name, of_all in costs.items():
        note = "; ".join(filter(None, [_NOTES.get(name), of_all.note()]))
        yield Figure(name, "jobs/s", of_all.rates(), note=note)
    yield share(costs)


def task_of(contestant: Contestant, name: str, quick: bool) -> Task:
    task = _TASKS[name]
    if quick:
        return task._replace(workers=min(task.workers, 2), jobs=200, seconds=task.seconds and 0.3)
    return task if task.jobs else task._replace(jobs=_JOBS[contestant.kind])


def share(costs: dict[str, Costs]) -> Figure:
    """What of the rate remains with the limit."""
    plain, limited = costs[_PLAIN[4]].rates(), costs[_LIMITED].rates()
    shares = {
        name: [with_it / without for with_it, without in zip(limited[name], plain[name], strict=True)]
        for name in limited
    }
    return Figure(f"{_LIMITED}: to those without a limit", "×", shares, (Target(0.6, at_least=True),))
