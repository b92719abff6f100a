"""The whole sequence of the caller CHAP, with a model in Python and with one in another language."""

from pathlib import Path

import pytest

from servicekit.ml import AssessedStatus, CommandModel, MLServiceInfo, Model, ModelMetadata, PeriodType
from tests.ml.chap_client import ChapClient
from tests.ml.command_models import failing, means
from tests.ml.python_model import means_in_python
from tests.ml.services import DATA, FUTURE, HISTORIC, run_models

INFO = MLServiceInfo(
    id="means",
    display_name="Means",
    version="2.1.0",
    model_metadata=ModelMetadata(author="Ada", author_assessed_status=AssessedStatus.YELLOW),
    period_type=PeriodType.MONTHLY,
    required_covariates=["rainfall"],
    max_prediction_periods=12,
)


@pytest.mark.parametrize("model", [means_in_python, means], ids=["Model", "CommandModel"])
def test_chap_finds_trains_and_uses_a_model(tmp_path: Path, model: Model | CommandModel) -> None:
    with run_models(tmp_path, model, info=INFO) as client:
        chap = ChapClient(client.http)
        assert chap.is_healthy()

        info = chap.get_info()
        assert (info["id"], info["display_name"], info["version"]) == ("means", "Means", "2.1.0")
        assert info["model_metadata"]["author_assessed_status"] == "yellow"
        assert (info["period_type"], info["required_covariates"]) == ("monthly", ["rainfall"])

        schema = chap.get_config_schema()
        assert {"prediction_periods", "additional_continuous_covariates", "smoothing"} <= set(schema["properties"])
        config_id = chap.create_config("monthly", {"prediction_periods": 1, "anything": [1, 2]})

        model_id = chap.train(config_id, DATA, geo={"type": "FeatureCollection", "features": []})
        assert chap.predict(model_id, HISTORIC, FUTURE) == [
            {"time_period": "2023-03", "location": "north", "sample_0": 5, "sample_1": 6},
            {"time_period": "2023-03", "location": "south", "sample_0": 11, "sample_1": 12},
        ]


def test_chap_is_told_why_a_training_has_failed(tmp_path: Path) -> None:
    with run_models(tmp_path, failing) as client:
        chap = ChapClient(client.http)
        config_id = chap.create_config("monthly", {})
        with pytest.raises(RuntimeError, match="singular matrix"):
            chap.train(config_id, DATA)
