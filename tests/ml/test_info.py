"""What a service of models tells about itself."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.ml.info import AssessedStatus, MLServiceInfo, ModelMetadata, PeriodType, add_info_route


def read_info(app: FastAPI) -> dict[str, object]:
    add_info_route(app, "/api/v1/info")
    info: dict[str, object] = TestClient(app).get("/api/v1/info").json()
    return info


def test_the_info_of_a_service_of_models_has_its_author_and_what_the_model_needs() -> None:
    info = MLServiceInfo(
        display_name="Dengue in Vietnam",
        version="1.2.0",
        summary="Monthly cases",
        description="More of it",
        model_metadata=ModelMetadata(
            author="Ada", contact_email="ada@example.org", author_assessed_status=AssessedStatus.GREEN
        ),
        period_type=PeriodType.MONTHLY,
        required_covariates=["rainfall"],
        allow_free_additional_continuous_covariates=True,
        requires_geo=True,
    )
    assert read_info(ServiceBuilder(info=info).build()) == {
        "id": "dengue-in-vietnam",
        "display_name": "Dengue in Vietnam",
        "version": "1.2.0",
        "summary": "Monthly cases",
        "description": "More of it",
        "model_metadata": {
            "author": "Ada",
            "author_note": None,
            "author_assessed_status": "green",
            "contact_email": "ada@example.org",
            "organization": None,
            "organization_logo_url": None,
            "citation_info": None,
            "repository_url": None,
            "documentation_url": None,
        },
        "period_type": "monthly",
        "min_prediction_periods": 0,
        "max_prediction_periods": 100,
        "required_covariates": ["rainfall"],
        "allow_free_additional_continuous_covariates": True,
        "requires_geo": True,
        "target": "disease_cases",
        "git_revision": None,
        "hpo_search_space": None,
    }


def test_fields_of_a_class_of_ones_own_are_shown() -> None:
    class Info(MLServiceInfo):
        team: str

    assert read_info(ServiceBuilder(info=Info(display_name="Dengue", team="climate")).build())["team"] == "climate"


def test_a_plain_info_and_no_info_are_shown_as_well() -> None:
    assert read_info(ServiceBuilder(info=ServiceInfo(display_name="Plain")).build())["id"] == "plain"
    info = read_info(FastAPI(title="By hand", version="3.0"))
    assert (info["id"], info["display_name"], info["version"]) == ("by-hand", "By hand", "3.0")


def test_an_info_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="min_prediction_periods is more than max_prediction_periods"):
        MLServiceInfo(display_name="x", min_prediction_periods=4, max_prediction_periods=3)
    with pytest.raises(ValidationError):
        ModelMetadata(author="Ada", e_mail="typo")  # type: ignore[call-arg]
