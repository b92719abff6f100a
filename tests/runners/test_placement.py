"""Which works find room on the nodes of a cluster, and which wait."""

import time
from collections.abc import Mapping

import pytest

from servicekit.runners.cluster.placement import Node, Placement


def place_on(*nodes: Mapping[str, float]) -> Placement:
    """Nodes `0`, `1`, ... of which nobody else uses anything."""
    placed = Placement()
    totals = [{"cpus": 0.0, "gpus": 0.0, "memory_bytes": 0.0, **node} for node in nodes]
    placed.update([Node(str(number), total, total) for number, total in enumerate(totals)])
    return placed


def begin(placed: Placement, key: str, node: str, demand: Mapping[str, float]) -> None:
    placed.note_start(key, demand)
    placed.note_begun(key, node)


def test_what_no_node_can_ever_hold_keeps_nobody_waiting() -> None:
    placed = place_on({"cpus": 4}, {"cpus": 4})
    assert not placed.has_room({"gpus": 16})
    assert not placed.can_ever_hold({"gpus": 16})
    assert placed.count_room() == 8
    assert placed.has_room({"cpus": 1})


def test_small_works_wait_for_a_large_one() -> None:
    placed = place_on({"cpus": 4}, {"cpus": 4})
    begin(placed, "a", "0", {"cpus": 1})
    begin(placed, "b", "1", {"cpus": 2})
    assert placed.count_room() == 5
    assert not placed.has_room({"cpus": 4})
    for other in ({"cpus": 1}, {"cpus": 3}):  # the second is large too, and does not take the place of the first
        assert not placed.has_room(other)
        assert placed.explain_refusal(other) == "a job before it waits for a node with 4 CPUs free"
    assert placed.explain_refusal({"cpus": 4}) == "the cluster has no node with 4 CPUs free now"
    assert placed.count_room() == 0
    placed.note_end("a")
    assert placed.count_room() == 6
    assert placed.has_room({"cpus": 4})
    begin(placed, "c", "0", {"cpus": 4})
    assert placed.has_room({"cpus": 1})


def test_nobody_waits_for_long_for_what_may_have_been_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = place_on({"cpus": 4})
    begin(placed, "a", "0", {"cpus": 2})
    assert not placed.has_room({"cpus": 4})
    assert not placed.has_room({"cpus": 1})
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert placed.has_room({"cpus": 1})


def test_nobody_waits_for_what_only_a_lost_node_could_hold() -> None:
    placed = place_on({"cpus": 4}, {"cpus": 2})
    begin(placed, "a", "0", {"cpus": 2})
    assert not placed.has_room({"cpus": 3})
    assert placed.count_room() == 0
    two = {"cpus": 2.0, "gpus": 0.0}
    placed.update([Node("1", two, two)])
    assert placed.count_room() == 2


@pytest.mark.parametrize(
    ("node", "held", "demand"),
    [
        ({"gpus": 2}, {"gpus": 1}, {"gpus": 1}),
        ({"cpus": 2}, {"cpus": 2}, {}),
        ({"cpus": 1}, {"cpus": 0.5}, {"cpus": 0.5}),
    ],
)
def test_what_needs_less_than_a_processor_is_tried(
    node: Mapping[str, float], held: Mapping[str, float], demand: Mapping[str, float]
) -> None:
    placed = place_on(node)
    begin(placed, "a", "0", held)
    assert placed.count_room() == 1
    assert placed.has_room(demand)


def test_without_processors_nothing_is_tried() -> None:
    assert place_on({}).count_room() == 0  # a head that runs nothing
    assert Placement().count_room() == 0
