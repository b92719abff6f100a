"""What retries, priorities, concurrency keys and queues cost: the rate of no-ops that have them, beside plain ones."""

from collections.abc import Iterator

from benchmarks.contestants import Contestant, Contestants, rotated
from benchmarks.disk import FILE, PLACES, new_jobs_url, temporary_folder
from benchmarks.figures import OURS, PEER, Figure

_PLAIN = "plain"
_LABELS = {
    _PLAIN: "plain no-ops",
    "retries": "no-ops that fail once",
    "priorities": "no-ops of 100 priorities",
    "keys": "no-ops with 100 keys",
    "queues": "no-ops in two queues",
}
_HUEY = "huey"
_HUEYS_KINDS = (_PLAIN, "retries", "priorities")


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Every kind in turn. Of the peers, Huey has retries and priorities; it is on a disk."""
    rounds, jobs, hueys_jobs = (1, 300, 50) if quick else (5, 10_000, 2_000)
    huey = next((peer for peer in contestants.embedded_peers if peer.name == _HUEY), None)
    for place in PLACES:
        rates: dict[str, list[float]] = {kind: [] for kind in _LABELS}
        hueys_rates: dict[str, list[float]] = {kind: [] for kind in _HUEYS_KINDS if huey and place == FILE}
        for number in range(rounds):
            for kind in rotated(list(_LABELS), number):
                rates[kind].append(rate_of(contestants.ours, place, kind, jobs))
                if huey and kind in hueys_rates:
                    hueys_rates[kind].append(rate_of_huey(huey, kind, hueys_jobs))
        yield from figures_of(place, rates, hueys_rates)


def figures_of(place: str, rates: dict[str, list[float]], hueys_rates: dict[str, list[float]]) -> Iterator[Figure]:
    for kind, label in _LABELS.items():
        values = {OURS: rates[kind]} | ({PEER: hueys_rates[kind]} if kind in hueys_rates else {})
        yield Figure(f"{label}, {place}", "jobs/s", values, note="the peer is Huey" if PEER in values else "")
        if kind != _PLAIN:
            shares = [each / plain for each, plain in zip(rates[kind], rates[_PLAIN], strict=True)]
            yield Figure(f"{label}, {place}: to plain", "×", {OURS: shares})


def rate_of(ours: Contestant, place: str, kind: str, jobs: int) -> float:
    with new_jobs_url(place) as url:
        rate: float = ours.run("benchmarks.control", "rate", url, kind, jobs)
        return rate


def rate_of_huey(huey: Contestant, kind: str, jobs: int) -> float:
    with temporary_folder() as folder:
        rate: float = huey.run("benchmarks.peers.huey", folder, jobs, kind)["per_second"]
        return rate
