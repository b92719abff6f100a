"""What jobs in PostgreSQL cost each contestant, round by round. The best of the peers counts as the peer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contestants import Contestant
from benchmarks.figures import BEFORE, OURS, PEER
from benchmarks.meter import Cost
from benchmarks.postgres import Database


@dataclass
class Costs:
    rounds: dict[str, list[Cost]] = field(default_factory=dict)
    arrangements: dict[str, str] = field(default_factory=dict)
    """How each peer was driven in its last round."""

    def add(self, contestant: Contestant, cost: Cost, arrangement: str = "") -> None:
        self.rounds.setdefault(contestant.name, []).append(cost)
        self.arrangements[contestant.name] = arrangement

    def ask(self, contestant: Contestant, database: Database, question: str, *numbers: int) -> None:
        """Ask a contestant once more, in a database that has nothing yet."""
        module = "benchmarks.served" if contestant.kind == OURS else f"benchmarks.peers.{contestant.name}"
        with database.new_database() as url:
            cost, arrangement = contestant.run(module, question, url, database.pid, *numbers)
        self.add(contestant, Cost(*cost), arrangement)

    def rates(self) -> dict[str, list[float]]:
        return self.values(lambda cost: cost.per_second)

    def values(self, value_of: Callable[[Cost], float]) -> dict[str, list[float]]:
        """One of the values of all contestants, and again that of the peer with the best rate as the peer's."""
        values = {name: [value_of(cost) for cost in costs] for name, costs in self.rounds.items()}
        best = max(self._peers(), key=self._rate_of, default=None)
        return values | ({PEER: values[best]} if best else {})

    def note(self) -> str:
        """The rates of all peers, and how they were driven."""
        return "; ".join(
            " ".join(filter(None, [name, f"{self._rate_of(name):,.0f}", self.arrangements[name]]))
            for name in self._peers()
        )

    def _peers(self) -> list[str]:
        return [name for name in self.rounds if name not in (OURS, BEFORE)]

    def _rate_of(self, name: str) -> float:
        return median(cost.per_second for cost in self.rounds[name])
