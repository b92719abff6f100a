"""The peer's service with artifacts and a model, as its documentation shows one, with the database of its default."""

import os
from typing import Any

import pandas as pd
from chapkit import BaseConfig
from chapkit.api import MLServiceBuilder, MLServiceInfo
from chapkit.artifact import ArtifactHierarchy
from chapkit.ml import FunctionalModelRunner
from sklearn.linear_model import LinearRegression

from benchmarks.apps.common import routes_of
from benchmarks.work import Work

os.chdir(os.environ["BENCHMARK_FOLDER"])  # what it writes by itself must not be in the checkout
FEATURES = ["rainfall", "temperature"]


class Config(BaseConfig):  # type: ignore[misc] # nothing is known of the peer's
    """Nothing to configure."""

    prediction_periods: int = 3


async def fit(config: Config, data: Any, geo: Any = None) -> Any:  # noqa: ARG001 # the peer gives all of them
    frame = data if isinstance(data, pd.DataFrame) else data.to_pandas()
    return LinearRegression().fit(frame[FEATURES], frame["cases"])


async def forecast(config: Config, model: Any, historic: Any, future: Any, geo: Any = None) -> Any:  # noqa: ARG001
    frame = future if isinstance(future, pd.DataFrame) else future.to_pandas()
    predicted = frame.assign(sample_0=model.predict(frame[FEATURES]))
    return predicted if isinstance(future, pd.DataFrame) else type(future).from_pandas(predicted)


app = MLServiceBuilder(
    info=MLServiceInfo(id="peer", display_name="Peer", model_metadata={"author": "Nobody"}, period_type="monthly"),
    config_schema=Config,
    hierarchy=ArtifactHierarchy(name="ml", level_labels={0: "ml_training", 1: "ml_prediction"}),
    runner=FunctionalModelRunner(on_train=fit, on_predict=forecast),
).build()
own = len(app.router.routes)
app.include_router(routes_of(Work()))
# Before its own: the last of these takes whatever is left.
app.router.routes[:] = [*app.router.routes[own:], *app.router.routes[:own]]
