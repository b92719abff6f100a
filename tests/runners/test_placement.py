"""Which works find room on the nodes of a cluster, and which wait."""

import time
from collections.abc import Mapping

import pytest

from servicekit.runners.cluster.placement import Node, Placement


class Clock:
    """The time of `time.monotonic`, which the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def make_node(node_id: str, total: Mapping[str, float], used: Mapping[str, float] | None = None) -> Node:
    counts = {"cpus": 0.0, "gpus": 0.0, "memory_bytes": 0.0, **total}
    return Node(node_id, counts, {name: count - (used or {}).get(name, 0) for name, count in counts.items()})


def place_on(*nodes: Mapping[str, float]) -> Placement:
    """Nodes `0`, `1`, ... of which nobody else uses anything."""
    placed = Placement()
    placed.update([make_node(str(number), node) for number, node in enumerate(nodes)])
    return placed


def begin(placed: Placement, key: str, node: str, demand: Mapping[str, float]) -> None:
    placed.note_start(key, demand, None)
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


def test_what_passes_a_waiting_work_is_sent_to_a_node_that_keeps_nothing_for_it() -> None:
    placed = place_on({"cpus": 4}, {"cpus": 2})
    begin(placed, "a", "0", {"cpus": 1})
    assert placed.choose_node({"cpus": 1}) is None  # nothing waits: the cluster chooses
    assert not placed.has_room({"cpus": 4})
    assert placed.has_room({"cpus": 1})
    assert placed.choose_node({"cpus": 1}) == "1"
    placed.note_start("b", {"cpus": 1}, "1")
    assert placed.count_room() == 1
    placed.note_end("a")
    assert placed.has_room({"cpus": 4})
    assert placed.choose_node({"cpus": 4}) is None
    placed.note_start("c", {"cpus": 4}, None)
    assert placed.count_room() == 1


def test_what_needs_no_gpu_is_sent_to_a_node_without_one_if_it_can() -> None:
    placed = place_on({"cpus": 8, "gpus": 1}, {"cpus": 8}, {"cpus": 16})
    begin(placed, "a", "2", {"cpus": 1})
    assert not placed.has_room({"cpus": 16})
    assert placed.choose_node({"cpus": 1}) == "1"
    assert placed.choose_node({"cpus": 1, "gpus": 1}) == "0"


def test_nobody_waits_for_long_for_what_may_have_been_canceled(clock: Clock) -> None:
    placed = place_on({"cpus": 4})
    begin(placed, "a", "0", {"cpus": 2})
    assert not placed.has_room({"cpus": 4})
    assert not placed.has_room({"cpus": 1})
    clock.now += 31
    assert placed.has_room({"cpus": 1})


def test_nobody_waits_for_what_only_a_lost_node_could_hold() -> None:
    placed = place_on({"cpus": 4}, {"cpus": 2})
    begin(placed, "a", "0", {"cpus": 2})
    assert not placed.has_room({"cpus": 3})
    begin(placed, "b", "1", {"cpus": 1})
    assert placed.count_room() == 1
    placed.update([make_node("1", {"cpus": 2}, {"cpus": 1})])
    placed.note_end("b")
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


def test_what_takes_nothing_that_a_waiting_work_needs_goes_on() -> None:
    placed = place_on({"cpus": 8, "gpus": 1}, {"cpus": 2})
    begin(placed, "a", "0", {"cpus": 1, "gpus": 1})
    assert placed.count_room() == 9
    assert not placed.has_room({"cpus": 4, "gpus": 1})
    assert placed.count_room() == 5  # the node with the GPU keeps four
    assert placed.has_room({"cpus": 3})
    assert not placed.has_room({"cpus": 5})
    assert not placed.has_room({"cpus": 1, "gpus": 0.1})
    begin(placed, "b", "0", {"cpus": 3})
    begin(placed, "c", "1", {"cpus": 2})
    assert placed.count_room() == 0
    assert not placed.has_room({"cpus": 1})
    placed.note_end("a")
    assert placed.has_room({"cpus": 4, "gpus": 1})


def test_the_first_of_many_that_wait_is_held_up_by_none() -> None:
    placed = place_on({"cpus": 4, "gpus": 2})
    begin(placed, "a", "0", {"cpus": 2, "gpus": 1})
    assert not placed.has_room({"gpus": 2})
    assert not placed.has_room({"cpus": 4})
    placed.note_end("a")
    assert placed.has_room({"gpus": 2})
    begin(placed, "b", "0", {"gpus": 2})
    assert placed.has_room({"cpus": 4})


def test_what_others_use_is_no_room(clock: Clock) -> None:
    placed = Placement()
    placed.update([make_node("0", {"cpus": 4}, {"cpus": 1})])
    assert placed.count_room() == 3
    for number in range(20):  # works that begin and end are not taken for what others use, nor the other way round
        for key in "abc":
            begin(placed, f"{key}{number}", "0", {"cpus": 1})
        assert placed.count_room() == 1  # one at least is tried
        assert not placed.has_room({"cpus": 1})
        clock.now += 1
        placed.update([make_node("0", {"cpus": 4}, {"cpus": 1 if number % 2 else 4})])  # as it was, or as it is
        assert not placed.has_room({"cpus": 1})
        for key in "abc":
            placed.note_end(f"{key}{number}")
        assert placed.has_room({"cpus": 3})
        assert not placed.has_room({"cpus": 4})
        clock.now += 31
        placed.update([make_node("0", {"cpus": 4}, {"cpus": 1})])


def test_what_others_begin_and_end_is_seen(clock: Clock) -> None:
    placed = place_on({"cpus": 4})
    begin(placed, "a", "0", {"cpus": 1})
    clock.now += 4
    placed.update([make_node("0", {"cpus": 4}, {"cpus": 3})])
    assert placed.count_room() == 1
    placed.note_end("a")
    assert placed.count_room() == 2
    placed.update([make_node("0", {"cpus": 4}, {"cpus": 3})])  # the work is in it yet
    assert placed.count_room() == 2
    clock.now += 4
    placed.update([make_node("0", {"cpus": 4})])
    assert placed.count_room() == 4


def test_what_was_sent_takes_its_room_before_it_has_begun(clock: Clock) -> None:
    placed = place_on({"cpus": 8})
    placed.note_start("a", {"cpus": 3}, None)
    assert placed.count_room() == 5
    clock.now += 1
    placed.update([make_node("0", {"cpus": 8}, {"cpus": 3})])  # the cluster has begun it
    assert placed.count_room() == 5
    clock.now += 10
    placed.update([make_node("0", {"cpus": 8}, {"cpus": 8})])  # it has not: others use it all
    placed.note_end("a")
    assert not placed.has_room({"cpus": 1})


def test_what_took_long_to_begin_leaves_its_room_at_once(clock: Clock) -> None:
    placed = place_on({"cpus": 4})
    placed.note_start("a", {"cpus": 4}, None)
    clock.now += 5
    placed.update([make_node("0", {"cpus": 4}, {"cpus": 4})])  # a process is started for it
    placed.note_begun("a", "0")
    placed.note_end("a")
    assert placed.has_room({"cpus": 4})


def test_what_was_sent_takes_its_room_once_on_whichever_node_it_begins(clock: Clock) -> None:
    placed = place_on(*[{"cpus": 4}] * 3)
    for key in "abcd":
        placed.note_start(key, {"cpus": 1}, None)
    for used in ((0, 4, 0), (4, 4, 0), (4, 4, 4)):  # others come, to one node after another
        clock.now += 2
        placed.update([make_node(str(number), {"cpus": 4}, {"cpus": cpus}) for number, cpus in enumerate(used)])
        assert placed.count_room() == max(1, 12 - sum(used))  # one at least is tried
    assert not placed.has_room({"cpus": 1})


def test_a_work_that_the_cluster_did_not_begin_waits() -> None:
    placed = place_on({"cpus": 2})
    begin(placed, "a", "0", {"cpus": 1})
    placed.note_start("b", {"cpus": 2}, None)
    placed.note_waiting({"cpus": 2})
    placed.note_end("b")
    assert placed.count_room() == 0


def test_what_a_lost_node_could_hold_waits_for_it_for_minutes(clock: Clock) -> None:
    placed = place_on({"cpus": 4}, {"cpus": 8, "gpus": 1})
    placed.update([make_node("0", {"cpus": 4})])
    clock.now += 500
    placed.update([make_node("0", {"cpus": 4})])
    assert placed.can_ever_hold({"gpus": 1})
    assert not placed.has_room({"gpus": 1})
    assert "has no node with 1 GPU now" in placed.explain_refusal({"gpus": 1})
    assert placed.count_room() == 4
    clock.now += 101
    placed.update([make_node("0", {"cpus": 4})])
    assert not placed.can_ever_hold({"gpus": 1})


def test_parts_of_a_gpu_add_up() -> None:
    placed = place_on({"gpus": 1})
    begin(placed, "a", "0", {"gpus": 0.9})
    assert placed.has_room({"gpus": 0.1})


def test_the_node_that_lacks_least_is_named() -> None:
    placed = place_on({"cpus": 8, "gpus": 1}, {"cpus": 64}, {"cpus": 2, "gpus": 2})
    assert placed.describe_closest({"cpus": 96}) == "the closest node has 64 CPUs"
    assert placed.describe_closest({"cpus": 1, "gpus": 4}) == "the closest node has 2 CPUs and 2 GPUs"
    assert placed.describe_closest({"cpus": 8, "gpus": 2}) == "the closest node has 8 CPUs and 1 GPU"
