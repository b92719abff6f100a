"""What the nodes of a cluster have, and whether a work finds room there."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

# A cluster shows its nodes as they were up to two seconds ago: it keeps what a work has left for the next one, and is
# asked once a second.
_LAG_SECONDS: Final = 3.0
# The cluster keeps what a work demands while it starts a process for it, which takes seconds on a busy machine. Only
# then the work tells that it has begun.
_START_SECONDS: Final = 10.0
# A job for which there was no room may have been canceled since. Nothing must be kept for it for ever.
_WAIT_SECONDS: Final = 30.0
# A machine with GPUs takes some minutes to start anew.
_RETURN_SECONDS: Final = 600.0
# Numbers such as 0.1 and 0.9 do not add up exactly. Ray counts in ten-thousandths.
_TOLERANCE: Final = 1e-6

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
    sent_to: str | None
    """Where it is to run; `None` if the cluster chooses."""
    sent_at: float


class _Held:
    """What works hold together, and have held in the last seconds."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self._past: deque[tuple[float, Counter[str]]] = deque()  # as it was until that time

    def add(self, demand: Demand) -> None:
        self._note()
        self.now.update(demand)

    def remove(self, demand: Demand) -> None:
        self._note()
        self.now.subtract(demand)

    def find_bounds(self, name: str) -> tuple[float, float]:
        """The least and the most of one kind while the picture of the cluster was taken."""
        since = time.monotonic() - _LAG_SECONDS
        while self._past and self._past[0][0] < since:
            self._past.popleft()
        counts = [self.now[name], *(each[name] for _, each in self._past)]
        return min(counts), max(counts)

    def _note(self) -> None:
        self._past.append((time.monotonic(), Counter(self.now)))


class Placement:
    """Knows the nodes, what the works of this gateway hold there, and which demands wait.

    The works of this gateway count at once. What others use follows from the difference to what the cluster shows. That
    is older, so it is a range while works of this gateway begin and end; what was known before counts if it is in it.

    A demand for which there is no room waits. Each node that could ever hold it keeps so much for it, so that small
    works do not take the room of a large one again and again. Others may have the rest, and all of the other nodes.
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._seen: dict[str, tuple[float, Demand]] = {}  # when, and what it had
        self._own: dict[str, _Own] = {}
        self._begun: dict[str, _Held] = {}  # by their nodes
        self._others: dict[str, Counter[str]] = {}  # what others use of each node
        self._waiting: dict[frozenset[tuple[str, float]], float] = {}  # until when, the oldest first

    def update(self, nodes: list[Node]) -> None:
        """The cluster shows this now."""
        now = time.monotonic()
        self._nodes = nodes
        self._seen.update({node.id: (now, node.total) for node in nodes})
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[0] < _RETURN_SECONDS}
        self._begun = {node.id: self._begun.get(node.id) or _Held() for node in nodes}
        sent = self._find_sent()
        self._others = {node.id: self._find_others(node, sent[node.id]) for node in nodes}

    def choose_node(self, demand: Demand) -> str | None:
        """The node for a work that has room, if others keep room for a work that waits; else `None`: any will do.

        One without GPUs, if it needs none.
        """
        unused, free = self._list_unused(), self._list_free(demand)
        if free == unused:
            return None
        gpus = {node.id: node.total["gpus"] for node in self._nodes}
        places = (node for node, each in free.items() if _fits(demand, each))
        return min(places, key=lambda node: 0 if demand.get("gpus") else gpus[node], default=None)

    def note_start(self, key: str, demand: Demand, node: str | None) -> None:
        """A work is sent to a node, or to one that the cluster chooses."""
        self._own[key] = _Own(demand, None, node, time.monotonic())

    def note_begun(self, key: str, node: str) -> None:
        own = self._own.get(key)
        if own is not None and own.node is None:
            self._own[key] = own._replace(node=node)
            self._begun.setdefault(node, _Held()).add(own.demand)

    def note_end(self, key: str) -> None:
        own = self._own.pop(key)
        if own.node in self._begun:  # it is not lost
            self._begun[own.node].remove(own.demand)

    def note_waiting(self, demand: Demand) -> None:
        """There is no room for this, or the cluster has not begun it."""
        self._waiting[frozenset(demand.items())] = time.monotonic() + _WAIT_SECONDS

    @property
    def count(self) -> int:
        """How many works hold something."""
        return len(self._own)

    @property
    def has_processors(self) -> bool:
        """Whether there is a node that runs works: a head often runs none."""
        return any(node.total["cpus"] or node.total["gpus"] for node in self._nodes)

    def can_ever_hold(self, demand: Demand) -> bool:
        """Whether a node could run this if it ran nothing else. A node that was lost may come back for some minutes."""
        return any(_fits(demand, total) for _, total in self._seen.values())

    def has_room(self, demand: Demand) -> bool:
        """Whether a node can run this now. If not, but later, it waits from now on."""
        has_room = _finds_place(demand, self._list_free(demand).values())
        if has_room:
            self._waiting.pop(frozenset(demand.items()), None)
        elif self.can_ever_hold(demand):
            self.note_waiting(demand)
        return has_room

    def explain_refusal(self, demand: Demand) -> str:
        """Why there is no room for this now, as a clause."""
        words = describe_demand(demand)
        if not _finds_place(demand, (node.total for node in self._nodes)):
            past = ", but had one some minutes ago" if self.can_ever_hold(demand) else ""
            return f"the cluster has no node with {words} now{past}"
        if _finds_place(demand, self._list_unused().values()):
            before = next(each for each in map(dict, self._waiting) if each != demand)
            return f"a job before it waits for a node with {describe_demand(before)} free"
        return f"the cluster has no node with {words} free now"

    def count_room(self) -> int:
        """How many works of one CPU could begin now, beside what is kept for those that wait.

        If nothing is kept, one at least may be tried, since it may demand less than a CPU, or GPUs alone.
        """
        if not self.has_processors:
            return 0
        unused, free = self._list_unused(), self._list_free()
        return max(int(free == unused), sum(max(0, int(each["cpus"] + _TOLERANCE)) for each in free.values()))

    def describe_closest(self, demand: Demand) -> str:
        """The node that lacks least of this, as part of a sentence."""

        def rate(node: Node) -> list[float]:
            return sorted(min(1.0, node.total[name] / count) for name, count in demand.items() if count)

        closest = max(self._nodes, key=lambda node: (rate(node), node.total["gpus"], node.total["cpus"]))
        return f"the closest node has {describe_demand(closest.total)}"

    def _find_sent(self) -> dict[str, Counter[str]]:
        """What each node may have given to works that are on their way to begin: each counts on one node.

        On one that has given so much to nobody who is known.
        """
        unknown = {}
        for node in self._nodes:
            unknown[node.id] = given = Counter(node.total)
            given.subtract(node.available)
            given.subtract(self._others.get(node.id, Counter()))
            given.subtract({name: self._begun[node.id].find_bounds(name)[1] for name in node.total})
        sent: dict[str, Counter[str]] = {each: Counter() for each in unknown}
        for own in self._own.values():
            # What was sent before waits there, since others have its room.
            if own.node is None and time.monotonic() - own.sent_at < _START_SECONDS:
                places = [own.sent_to] if own.sent_to in unknown else list(unknown)
                place = next((each for each in places if _fits(own.demand, unknown[each])), None)
                if place is not None:
                    unknown[place].subtract(own.demand)
                    sent[place].update(own.demand)
        return sent

    def _find_others(self, node: Node, sent: Counter[str]) -> Counter[str]:
        begun, known = self._begun[node.id], self._others.get(node.id, Counter())
        others: Counter[str] = Counter()
        for name, total in node.total.items():
            used = total - node.available[name]
            least, most = begun.find_bounds(name)
            most += sent[name]
            others.update({name: max(0.0, used - most, min(known[name], used - least))})
        return others

    def _list_unused(self) -> dict[str, Counter[str]]:
        """What no work uses of each node, by its id."""
        unused = {}
        for node in self._nodes:
            unused[node.id] = left = Counter(node.total)
            left.subtract(self._others[node.id])
            left.subtract(self._begun[node.id].now)
        for own in self._own.values():
            if own.node is None:  # it comes to a node that has so much
                places = [unused[own.sent_to]] if own.sent_to in unused else unused.values()
                place = next((each for each in places if _fits(own.demand, each)), Counter())
                place.subtract(own.demand)
        return unused

    def _list_free(self, demand: Demand | None = None) -> dict[str, Counter[str]]:
        """What a demand could have of each node: what is unused, and not kept for those that have waited longer."""
        unused = self._list_unused()
        kept: dict[str, Counter[str]] = {each: Counter() for each in unused}
        now = time.monotonic()
        self._waiting = {waiting: until for waiting, until in self._waiting.items() if now < until}
        for waiting in map(dict, self._waiting):
            if waiting == demand:
                break
            if not _finds_place(waiting, unused.values()):
                for node in self._nodes:
                    if _fits(waiting, node.total):
                        kept[node.id] |= Counter(waiting)  # the larger of both numbers
        for each, counts in kept.items():
            unused[each].subtract(counts)
        return unused


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
    return all(count <= free[name] + _TOLERANCE for name, count in demand.items() if count)
