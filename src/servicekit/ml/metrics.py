"""Metrics that a training reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any

from servicekit.jobs.current import running_job

_collected: ContextVar[dict[str, object]] = ContextVar("servicekit_ml_metrics")


def report_metrics(**metrics: float | int | str | bool | None) -> None:
    """Report how good the model is: `report_metrics(fold=3, rmse=0.31)`.

    They become a line of the job's log at once. The newest value of each is in the metadata of the model. Outside of a
    training, nothing happens, so that a test can call the function.
    """
    values = {name: _plain(value) for name, value in metrics.items()}
    collected = _collected.get(None)
    if collected is not None:
        collected.update({name: _as_json(value) for name, value in values.items()})
    job = running_job()
    if job is not None:
        job.log(" ".join(f"{name}={_show(value)}" for name, value in values.items()), source="metrics")


@contextmanager
def collect_metrics() -> Iterator[dict[str, object]]:
    """Within the block, the dictionary of what is reported in this context."""
    metrics: dict[str, object] = {}
    token = _collected.set(metrics)
    try:
        yield metrics
    finally:
        _collected.reset(token)


def _plain(value: Any) -> Any:
    """The value as one that JSON knows. NumPy's numbers have `item`."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _as_json(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def _show(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
