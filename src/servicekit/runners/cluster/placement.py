"""What the nodes of a cluster have, and whether a work finds room there."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

# A cluster shows its nodes as they were up to two seconds ago: it keeps what a work has left for the next one, and is
# asked once a second.
_LAG_SECONDS: Final = 3.0
# A job for which there was no room may have been canceled since. Others must not wait for it for ever.
_WAIT_SECONDS: Final = 30.0

Demand = Mapping[str, float]
"""What a work needs, and what a node has, by the names of `resources`."""


class Node(NamedTuple):
    """A node of the cluster, as the cluster sees it."""

    id: str
    total: Demand
    available: Demand


class _Own(NamedTuple):
    """A work of this gateway."""

    demand: Demand
    node: str | None
    """Where it runs; `None` as long as that is not known."""


class Placement:
    """Knows the nodes, and what the works of this gateway hold.

    As long as the works of this gateway explain all that is in use, their demands are exact and count at once. What
    somebody else uses is as new as the cluster tells it.
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._own: dict[str, _Own] = {}
        self._sums: deque[tuple[float, Counter[str]]] = deque()  # of the demands, as they were until that time
        self._waiting: Demand | None = None
        self._waits_until = 0.0

    def update(self, nodes: list[Node]) -> None:
        """The cluster shows this now."""
        self._nodes = nodes

    def note_start(self, key: str, demand: Demand) -> None:
        self._note_sum()
        self._own[key] = _Own(demand, None)

    def note_begun(self, key: str, node: str) -> None:
        if key in self._own:
            self._own[key] = self._own[key]._replace(node=node)

    def note_end(self, key: str) -> None:
        self._note_sum()
        del self._own[key]

    @property
    def count(self) -> int:
        """How many works hold something."""
        return len(self._own)

    @property
    def has_processors(self) -> bool:
        """Whether there is a node that runs works: a head often runs none."""
        return any(node.total["cpus"] or node.total["gpus"] for node in self._nodes)

    def can_ever_hold(self, demand: Demand) -> bool:
        """Whether a node of the cluster could run this if it ran nothing else."""
        return _finds_place(demand, (node.total for node in self._nodes))

    def has_room(self, demand: Demand) -> bool:
        """Whether a node can run this now. If not, but later, there is no room for any other until it has begun.

        Else small works would take the room of a large one again and again.
        """
        free = list(self._list_free().values())
        waiting = self._find_waiting()
        if waiting is not None and waiting != demand and not _finds_place(waiting, free):
            return False
        has_room = _finds_place(demand, free)
        if has_room and waiting == demand:
            self._waiting = None
        elif not has_room and self.can_ever_hold(demand):
            self._waiting = demand
            self._waits_until = time.monotonic() + _WAIT_SECONDS
        return has_room

    def explain_refusal(self, demand: Demand) -> str:
        """Why there is no room for this now, as a clause."""
        waiting = self._find_waiting()
        if waiting is None or waiting == demand:
            return f"the cluster has no node with {describe_demand(demand)} free now"
        return f"a job before it waits for a node with {describe_demand(waiting)} free"

    def count_room(self) -> int:
        """How many works of one CPU could begin now; none while a larger one waits.

        At least one may be tried, since it may demand less than a CPU, or GPUs alone.
        """
        free = list(self._list_free().values())
        waiting = self._find_waiting()
        if not self.has_processors or (waiting is not None and not _finds_place(waiting, free)):
            return 0
        return max(1, sum(max(0, int(each["cpus"])) for each in free))

    def describe_largest(self) -> str:
        """The node with the most GPUs and CPUs, as part of a sentence."""
        largest = max(self._nodes, key=lambda node: (node.total["gpus"], node.total["cpus"]))
        return f"the largest node has {describe_demand(largest.total)}"

    def _find_waiting(self) -> Demand | None:
        """What a work waits for that had no room. The node that could hold it may be lost since."""
        waiting = self._waiting
        if waiting is not None and (time.monotonic() >= self._waits_until or not self.can_ever_hold(waiting)):
            self._waiting = None
        return self._waiting

    def _list_free(self) -> dict[str, Counter[str]]:
        is_alone = self._is_alone()
        free = {node.id: Counter(node.total if is_alone else node.available) for node in self._nodes}
        for own in self._own.values():
            if own.node in free and is_alone:
                free[own.node].subtract(own.demand)
        for own in self._own.values():
            if own.node is None:  # it comes to a node that has so much
                place = next((each for each in free.values() if _fits(own.demand, each)), Counter())
                place.subtract(own.demand)
        return free

    def _is_alone(self) -> bool:
        """Whether the works of this gateway, with those that have just ended, use all that is in use."""
        since = time.monotonic() - _LAG_SECONDS
        while self._sums and self._sums[0][0] < since:
            self._sums.popleft()
        most: Counter[str] = self._sum()
        for _, each in self._sums:
            most |= each  # the larger of both numbers
        used: Counter[str] = Counter()
        for node in self._nodes:
            used.update({name: node.total[name] - node.available[name] for name in ("cpus", "gpus")})
        return all(count <= most[name] + 1e-6 for name, count in used.items())

    def _note_sum(self) -> None:
        self._sums.append((time.monotonic(), self._sum()))

    def _sum(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for own in self._own.values():
            total.update(own.demand)
        return total


def describe_demand(demand: Demand) -> str:
    """As part of a sentence: `4 CPUs, 1 GPU and 1.5 GiB of memory`."""
    words = []
    for name, unit in (("cpus", "CPU"), ("gpus", "GPU")):
        if count := demand.get(name, 0):
            words.append(f"{count:,.6g} {unit}{'' if count == 1 else 's'}")
    if size := demand.get("memory_bytes", 0):
        words.append(f"{size / 2**30:,.4g} GiB of memory")
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "nothing"


def _finds_place(demand: Demand, free: Iterable[Demand]) -> bool:
    return any(_fits(demand, each) for each in free)


def _fits(demand: Demand, free: Demand) -> bool:
    return all(count <= free[name] for name, count in demand.items() if count)
