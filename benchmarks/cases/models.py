"""How soon a prediction is there, with a model that is in memory, and how soon a training begins and ends."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.clients import Connection, request_of
from benchmarks.contestants import Contestants
from benchmarks.figures import OURS, PEER, Figure, Target, percentile
from benchmarks.modules import serving_modules
from benchmarks.servers import Server

_POLL_SECONDS = 0.002
_TERMINAL = ("completed", "failed", "canceled")
_PLACES = {"time_period": "2026-01", "location": "north"}
_ROWS = [{**_PLACES, "rainfall": 1.5 * number, "temperature": 20.0 - number % 7} for number in range(100)]
_PREFER = {"Prefer": "wait=60"}


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    trainings, predictions = (1, 3) if quick else (20, 200)
    training_seconds: dict[str, list[float]] = {}
    prediction_seconds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(serving_modules(each)) for each in contestants.with_modules}
        configs = {name: make_config(server) for name, server in servers.items()}
        trained = {name: train(server, configs[name]) for name, server in servers.items()}  # with what it imports
        for _ in range(trainings):
            for name, server in servers.items():
                seconds, _model = timed(partial(train, server, configs[name]))
                training_seconds.setdefault(name, []).append(seconds)
        for name, server in servers.items():
            predict(server, trained[name], is_ours=name == OURS)  # reads the model
        for _ in range(predictions):
            for name, server in servers.items():
                seconds, _job = timed(partial(predict, server, trained[name], is_ours=name == OURS))
                prediction_seconds.setdefault(name, []).append(seconds)
    note = "ours is asked with `Prefer: wait`, the peer's job every 2 ms"
    for percent, label, targets in ((50, "median", (Target(10), Target(1, relative_to=PEER))), (99, "p99", ())):
        values = {name: [percentile(each, percent) * 1000] for name, each in prediction_seconds.items()}
        yield Figure(f"predict 100 rows, the model in memory: {label}", "ms", values, targets, note)
    values = {name: [percentile(each, 50) * 1000] for name, each in training_seconds.items()}
    note = "ours trains in a process of its own, with pandas and scikit-learn preloaded; the peer on its event loop"
    yield Figure("train a linear regression on 100 rows: median", "ms", values, (Target(300),), note)


def timed(call: Any) -> tuple[float, Any]:
    clock = time.perf_counter()
    answer = call()
    return time.perf_counter() - clock, answer


def make_config(server: Server) -> str:
    return str(post(server, "/api/v1/configs", {"name": "benchmark", "data": {"prediction_periods": 3}})["id"])


def train(server: Server, config_id: str) -> str:
    """Train a model, and wait for its end. The artifact's id."""
    rows = [{**row, "cases": number} for number, row in enumerate(_ROWS)]
    submitted = post(server, "/api/v1/ml/$train", {"config_id": config_id, "data": table_of(rows)})
    wait_end(server, submitted["job_id"])
    return str(submitted["artifact_id"])


def predict(server: Server, artifact_id: str, *, is_ours: bool) -> None:
    table = table_of(_ROWS)
    body = {"artifact_id": artifact_id, "historic": table, "future": table}
    submitted = post(server, "/api/v1/ml/$predict", body, **(_PREFER if is_ours else {}))
    if not (is_ours and submitted.get("status") in _TERMINAL):
        wait_end(server, submitted["job_id"])


def wait_end(server: Server, job_id: str) -> None:
    with Connection(server.address) as connection:
        while (record := connection.get(f"/api/v1/jobs/{job_id}"))["status"] not in _TERMINAL:
            time.sleep(_POLL_SECONDS)
    if record["status"] != "completed":
        raise RuntimeError(f"{record['status']}: {record['error']}")


def table_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def post(server: Server, path: str, body: Mapping[str, object], **headers: str) -> Any:
    with Connection(server.address) as connection:
        return json.loads(connection.exchange(request_of("POST", path, json.dumps(body).encode(), **headers)))
