"""How many submissions a second are on the disk of a PostgreSQL server when they are acknowledged. Nothing is run."""

from collections.abc import Iterator

from benchmarks.contestants import Contestants, rotated
from benchmarks.costs import Costs
from benchmarks.figures import LIMIT, OURS, Figure, Target
from benchmarks.postgres import Database, on_postgres

_CALLERS = {1: (), 50: (Target(10_000, at_least=True),)}
_OUR_JOBS, _PEERS_JOBS = {1: 1_000, 50: 20_000}, {1: 500, 50: 2_000}
"""A second or two of work."""
_LIMIT_SECONDS = 1
_NOTE = "the limit is pgbench, which inserts one row in each transaction, with as many connections as there are callers"


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds = 1 if quick else 3
    measured = [*contestants.own, *contestants.served_peers]
    for callers, targets in _CALLERS.items():
        costs, limits = Costs(), []
        for number in range(rounds):
            limits.append(database.bare_transactions_per_second(callers, _LIMIT_SECONDS))
            for contestant in rotated(measured, number):
                jobs = (_OUR_JOBS if contestant.kind == OURS else _PEERS_JOBS)[callers]
                costs.ask(contestant, database, "submissions", callers, min(jobs, 200) if quick else jobs)
        name = f"submissions to PostgreSQL, callers waiting: {callers}"
        rates = costs.rates() | {LIMIT: limits}
        yield Figure(name, "jobs/s", rates, targets, "; ".join(filter(None, [_NOTE, costs.note()])))
        yield Figure(f"{name}: CPU of the client for one", "µs", costs.values(lambda cost: cost.client_microseconds))
        yield Figure(f"{name}: CPU of the server for one", "µs", costs.values(lambda cost: cost.server_microseconds))
