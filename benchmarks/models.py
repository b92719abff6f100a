"""A model that any process can import: a job's own process does, to train it."""

import pandas as pd
from sklearn.linear_model import LinearRegression

from servicekit.ml import Model

FEATURES = ["rainfall", "temperature"]

model = Model()


@model.train
def fit(data: pd.DataFrame) -> LinearRegression:
    return LinearRegression().fit(data[FEATURES], data["cases"])


@model.predict
def forecast(model: LinearRegression, future: pd.DataFrame) -> pd.DataFrame:
    return future.assign(sample_0=model.predict(future[FEATURES]))
