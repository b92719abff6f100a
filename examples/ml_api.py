"""A model of scikit-learn: upload a table once, train on it, watch that live, predict, and see where all came from.

    fastapi dev examples/ml_api.py

Make a table, and upload it. It is kept as an artifact, on which any number of models can be trained:

    (echo "rainfall,temperature,cases"; for i in $(seq 1 120); do \\
      echo "$((i * 7 % 200)),$((20 + i % 9)),$((i * 7 % 200 / 4 + i % 9))"; done) > clinics.csv
    DATA_ID=$(curl -s "http://localhost:8000/api/v1/artifacts?kind=data&name=clinics.csv" \\
      -H "Content-Type: text/csv" --data-binary @clinics.csv | jq -r '.id')

Train, and watch the folds and their errors as they come. `/$cancel` instead of `/$stream` would stop the training:

    JOB_ID=$(curl -s 'http://localhost:8000/api/v1/ml/$train' -H "Content-Type: application/json" \\
      -d '{"data": {"artifact_id": "'$DATA_ID'"}, "run_info": {"by": "me"}}' | jq -r '.job_id')
    curl -sN "http://localhost:8000/api/v1/jobs/$JOB_ID/\\$stream?logs=true"

The model has the id of its training. Its metadata say with what it was trained, and how good it is:

    curl -s "http://localhost:8000/api/v1/artifacts/$JOB_ID/\\$metadata" | jq '.metrics'

Predict, and wait for the answer. `rainfall` is needed, and a column that the model does not know is refused:

    PREDICTION_ID=$(curl -s 'http://localhost:8000/api/v1/ml/$predict' -H "Content-Type: application/json" \\
      -H "Prefer: wait=30" -d '{"artifact_id": "'$JOB_ID'", "future": {"columns": ["rainfall", "temperature"],
      "data": [[120, 24], [10, 27]]}}' | tee prediction.json | jq -r '.artifact_id')
    jq '.result' prediction.json

Download the prediction, and walk from it to the table, and from the table to all that was made of it:

    curl -s -o downloaded.json "http://localhost:8000/api/v1/artifacts/$PREDICTION_ID/\\$download"
    curl -s "http://localhost:8000/api/v1/artifacts/$PREDICTION_ID/\\$ancestors" | jq -r '.[].kind'
    curl -s "http://localhost:8000/api/v1/artifacts/$DATA_ID/\\$tree" | jq '.'
"""

import os
from typing import Annotated

import pandas as pd
from pydantic import Field
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold

from servicekit import current_job
from servicekit.api import ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.ml import BaseConfig, MLServiceInfo, Model, Skops, report_metrics

FEATURES = ["rainfall", "temperature"]


class Config(BaseConfig):
    """What a training can be told. Keep some of these with `POST /api/v1/configs`, and train with a `config_id`."""

    trees: Annotated[int, Field(ge=1, le=1_000)] = 30
    folds: Annotated[int, Field(ge=2, le=20)] = 5


# A tree of scikit-learn is a type of its own, which skops reads only if somebody has looked at it and trusts it.
model = Model(
    config=Config,
    serializer=Skops(trusted=["sklearn.tree._tree.Tree"]),
    targets=["cases"],
    run_timeout=600,
)


@model.train
def train(config: Config, data: pd.DataFrame) -> RandomForestRegressor:
    """Look how good the model is on what it has not seen, then train it on everything."""
    for number, (seen, unseen) in enumerate(KFold(config.folds, shuffle=True, random_state=1).split(data), start=1):
        forest = fit(config, data.iloc[seen])
        predicted = forest.predict(data.iloc[unseen][FEATURES])
        rmse = root_mean_squared_error(data.iloc[unseen]["cases"], predicted)
        report_metrics(fold=number, rmse=rmse)
        current_job().progress(number, config.folds, f"fold {number} of {config.folds}")
    return fit(config, data)


def fit(config: Config, data: pd.DataFrame) -> RandomForestRegressor:
    return RandomForestRegressor(n_estimators=config.trees, random_state=1).fit(data[FEATURES], data["cases"])


@model.predict
def predict(model: RandomForestRegressor, future: pd.DataFrame) -> pd.DataFrame:
    return future.assign(sample_0=model.predict(future[FEATURES]))


@model.validate
def validate(config: Config, data: pd.DataFrame | None) -> list[str]:
    if data is not None and len(data) < config.folds:
        return [f"{len(data)} rows are too few for {config.folds} folds"]
    return []


app = (
    ServiceBuilder(info=MLServiceInfo(display_name="Clinics", required_covariates=FEATURES))
    .with_jobs()
    .with_artifacts(Artifacts(os.environ.get("ARTIFACTS", "artifacts")))
    .with_ml(model)
    .with_health()
    .build()
)
