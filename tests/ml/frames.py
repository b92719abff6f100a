"""Models with DataFrames and scikit-learn. A job's own process imports this module."""

import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from servicekit.ml import Model, Skops

linear = Model()


@linear.train
def train_linear(data: pd.DataFrame) -> LinearRegression:
    return LinearRegression().fit(data[["rain"]], data["cases"])


@linear.predict
def predict_linear(model: LinearRegression, future: pd.DataFrame) -> pd.DataFrame:
    return future.assign(sample_0=model.predict(future[["rain"]]))


class Forest:
    """Functions as methods of an object."""

    def on_train(self, data: pd.DataFrame) -> RandomForestRegressor:
        return RandomForestRegressor(n_estimators=2, random_state=1).fit(data[["rain"]], data["cases"])

    async def on_predict(self, model: RandomForestRegressor, future: pd.DataFrame) -> pd.DataFrame:
        return future.assign(sample_0=model.predict(future[["rain"]]))


careful_forest = Model(Forest())
forest = Model(Forest(), serializer=Skops(trusted=["sklearn.tree._tree.Tree"]))
