"""How many no-ops a second one process submits, runs and finishes in PostgreSQL, and what CPU both sides need."""

from collections.abc import Iterator

from benchmarks.contestants import Contestants, rotated
from benchmarks.costs import Costs
from benchmarks.figures import OURS, PEER, Figure, Target
from benchmarks.postgres import Database, on_postgres

_PLAIN, _LIMITED = "whole no-ops in PostgreSQL", "whole no-ops in PostgreSQL, of which 100 may run at once"
_NO_LIMIT, _LIMIT = 0, 100
_JOBS = {OURS: 20_000, "pgqueuer": 20_000, "procrastinate": 1_000}
"""A second or two of work."""
_WITHOUT_LIMIT = ("procrastinate",)
_RATE = {
    _PLAIN: (Target(8_000, at_least=True), Target(0.9, at_least=True, relative_to=PEER)),
    _LIMITED: (Target(8_000, at_least=True), Target(1.3, at_least=True, relative_to=PEER)),
}
_CLIENT, _SERVER = Target(25), Target(80)


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Of ours, 1,000 callers each wait for their jobs. Peers submit them in lists, and may choose how to run them."""
    rounds = 1 if quick else 5
    measured = [*contestants.own, *contestants.served_peers]
    questions = [(each, _PLAIN, _NO_LIMIT) for each in measured]
    questions += [(each, _LIMITED, _LIMIT) for each in measured if each.name not in _WITHOUT_LIMIT]
    costs = {_PLAIN: Costs(), _LIMITED: Costs()}
    for number in range(rounds):
        for contestant, name, limit in rotated(questions, number):
            jobs = 300 if quick else _JOBS[contestant.kind]
            costs[name].ask(contestant, database, "lives", limit, jobs)
    for name, of_all in costs.items():
        rates = of_all.rates()
        yield Figure(name, "jobs/s", rates, _RATE[name], of_all.note())
        of_client = of_all.values(lambda cost: cost.client_microseconds)
        yield Figure(f"{name}: CPU of the client for one", "µs", of_client, (_CLIENT,))
        of_server = of_all.values(lambda cost: cost.server_microseconds)
        yield Figure(f"{name}: CPU of the server for one", "µs", of_server, (_SERVER,))
