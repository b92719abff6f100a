"""A model of means, as functions that need no pandas."""

from collections import defaultdict
from typing import Any

from pydantic import Field

from servicekit.ml import BaseConfig, Json, Model, Table


class MeansConfig(BaseConfig):
    """The settings of the model of means."""

    smoothing: float = Field(default=0.0, ge=0)


means_in_python = Model(config=MeansConfig, serializer=Json())


@means_in_python.train
def train(config: MeansConfig, data: Table) -> dict[str, float]:
    """The mean of disease_cases for each location."""
    cases: dict[Any, list[Any]] = defaultdict(list)
    for place, count in zip(data.column("location"), data.column("disease_cases"), strict=True):
        cases[place].append(count)
    return {place: sum(counts) / len(counts) + config.smoothing for place, counts in cases.items()}


@means_in_python.predict
def predict(model: dict[str, float], future: Table) -> Table:
    """For each row of the future: the mean of its location, and a second sample."""
    times, places = future.column("time_period"), future.column("location")
    rows = [[time, place, model[str(place)], model[str(place)] + 1] for time, place in zip(times, places, strict=True)]
    return Table(["time_period", "location", "sample_0", "sample_1"], rows)
