"""How long one job waits for its first line while a flood of others waits too, in another queue or with another key."""

from collections.abc import Iterator

from benchmarks.contestants import Contestants, rotated
from benchmarks.disk import PLACES, new_jobs_url
from benchmarks.figures import OURS, Figure

_NOTE = "ten slots; those of the queue's flood are all taken, and one is free every 2 ms"


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    """Each value is the median of thirty lone jobs."""
    rounds, flood = (1, 1_000) if quick else (5, 10_000)
    rivals = {
        "nobody": ("queue", 0),
        f"{flood:,} in another queue": ("queue", flood),
        f"{flood:,} with another key": ("key", flood),
    }
    for place in PLACES:
        waits: dict[str, list[float]] = {name: [] for name in rivals}
        for number in range(rounds):
            for name, (kind, count) in rotated(list(rivals.items()), number):
                with new_jobs_url(place) as url:
                    waits[name].append(contestants.ours.run("benchmarks.control", "wait", url, kind, count) * 1000)
        for name, values in waits.items():
            note = _NOTE if "queue" in name else ""
            yield Figure(f"one job waits beside {name}, {place}", "ms", {OURS: values}, note=note)
