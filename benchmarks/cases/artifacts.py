"""What artifacts cost: small ones by the thousand, a large one as a whole, and the tree above and below them."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.artifacts import CALLERS, CONTENT
from benchmarks.clients import Connection, load, request_of
from benchmarks.contestants import Contestant, Contestants, in_rounds
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, PEER, Figure, Target
from benchmarks.modules import Cost, cost_of, serving_modules
from benchmarks.servers import Server

_PATH = "/api/v1/artifacts"
_LARGE_BYTES = 100_000_000
_TREE = 1_000
_BRANCHES = 10


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    yield from measure_without_http(contestants, quick=quick)
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(serving_modules(each)) for each in contestants.with_modules}
        yield from measure_small(servers, quick=quick)
        yield from measure_large(servers, quick=quick)
        yield measure_tree(servers[OURS], quick=quick)


def measure_without_http(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    rounds, count = (1, 200) if quick else (7, 5_000)
    found = in_rounds([contestants.ours, contestants.limit], rounds, partial(ask, count))
    for key, label, note in (
        ("saves", "saved", "the limit is a row in a table, committed in groups"),
        ("reads", "read", "the limit is a row by its key, read in a thread"),
    ):
        values = {name: [answer[key] for answer in answers] for name, answers in found.items()}
        name = f"artifacts of 1 kB of JSON {label}, callers waiting: {CALLERS}"
        yield Figure(name, "artifacts/s", values, (Target(2_000, at_least=True),), note)


def ask(count: int, contestant: Contestant) -> dict[str, float]:
    with temporary_folder() as folder:
        answer: dict[str, float] = contestant.run("benchmarks.artifacts", folder, count)
        return answer


def measure_small(servers: Mapping[str, Server], *, quick: bool) -> Iterator[Figure]:
    rounds, count = (1, 100) if quick else (7, 2_000)
    save = request_of("POST", _PATH, json.dumps({"data": CONTENT}).encode())
    connections, counts = {OURS: CALLERS, PEER: 1}, {OURS: count, PEER: count // 10}
    rates: dict[str, dict[str, list[float]]] = {"saved": {}, "read": {}}
    for number in range(-1, rounds):
        for name, server in servers.items():
            artifact_id = save_one(server, {"data": CONTENT})
            for key, request in (("saved", save), ("read", request_of("GET", f"{_PATH}/{artifact_id}"))):
                rate = rate_of(server, request, counts[name], connections[name])
                if number >= 0:  # the first round is the warm-up
                    rates[key].setdefault(name, []).append(rate)
    for key, values in rates.items():
        name = f"artifacts of 1 kB of JSON {key} over HTTP, connections: {CALLERS}"
        note = "ours is on the disk; the peer, as it is by default, answers 500 to two at once, and has one connection"
        yield Figure(name, "artifacts/s", values, (Target(1, at_least=True, relative_to=PEER),), note)


def save_one(server: Server, body: Mapping[str, object]) -> str:
    with Connection(server.address) as connection:
        answer = connection.exchange(request_of("POST", _PATH, json.dumps(body).encode()))
        return str(json.loads(answer)["id"])


def rate_of(server: Server, request: bytes, count: int, connections: int) -> float:
    clock = time.perf_counter()
    asyncio.run(load(server.address, request, count, connections))
    return count / (time.perf_counter() - clock)


def measure_large(servers: Mapping[str, Server], *, quick: bool) -> Iterator[Figure]:
    """Ours takes a file as it is. The peer takes no file: it gets a text of as many characters within its JSON."""
    rounds, size = (1, 1_000_000) if quick else (3, _LARGE_BYTES)
    costs: dict[str, dict[str, list[Cost]]] = {"upload": {}, "download": {}}
    for number in range(rounds):
        for name, server in servers.items():
            upload, artifact_id = cost_of(server, partial(upload_to, name, server, bytes([65 + number]) * size))
            path = f"{_PATH}/{artifact_id}/$download" if name == OURS else f"{_PATH}/{artifact_id}"
            download, received = cost_of(server, partial(download_from, server, path))
            if received < size:
                raise RuntimeError(f"{received:,} bytes of {size:,} came")
            costs["upload"].setdefault(name, []).append(upload)
            costs["download"].setdefault(name, []).append(download)
    for label, by_name in costs.items():
        yield from figures_of(f"{label} of {size // 1_000_000} MB", by_name)


def upload_to(name: str, server: Server, content: bytes) -> str:
    if name == OURS:
        request = request_of("POST", f"{_PATH}/$upload?kind=file", content, "application/octet-stream")
    else:
        request = request_of("POST", _PATH, json.dumps({"data": content.decode()}).encode())
    with Connection(server.address) as connection:
        return str(json.loads(connection.exchange(request))["id"])


def download_from(server: Server, path: str) -> int:
    with Connection(server.address) as connection:
        return connection.count(request_of("GET", path))


def figures_of(name: str, costs: Mapping[str, Sequence[Cost]]) -> Iterator[Figure]:
    note = "the peer takes no files: it gets a text of this size within JSON, and gives it so"
    seconds = {each: [cost.seconds for cost in costs[each]] for each in costs}
    yield Figure(name, "s", seconds, note=note)
    cpu = {each: [cost.cpu_seconds for cost in costs[each]] for each in costs}
    yield Figure(f"{name}: the server's CPU", "s", cpu, (Target(0.5), Target(1, relative_to=PEER)))
    memory = {each: [cost.peak_bytes / 1e6 for cost in costs[each]] for each in costs}
    yield Figure(f"{name}: the server's memory at most", "MB", memory, (Target(32),))


def measure_tree(server: Server, *, quick: bool) -> Figure:
    """A root and what stands below it, ten below each."""
    count, repeats = (50, 3) if quick else (_TREE, 20)
    ids: list[str] = []
    for number in range(count):
        parent = {"parent_id": ids[(number - 1) // _BRANCHES]} if number else {}
        ids.append(save_one(server, {"data": number, **parent}))
    seconds = []
    with Connection(server.address) as connection:
        for _ in range(repeats):
            clock = time.perf_counter()
            connection.count(request_of("GET", f"{_PATH}/{ids[0]}/$tree?limit={_TREE}"))  # `exchange` is for small ones
            seconds.append(time.perf_counter() - clock)
    return Figure(f"a tree of {count:,} artifacts over HTTP", "ms", {OURS: [median(seconds) * 1000]}, (Target(20),))
