"""What a service of models tells about itself: `/api/v1/info`."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator

from servicekit.api.info import ServiceInfo
from servicekit.api.routing import JobRoute


class AssessedStatus(StrEnum):
    """How ready a model is, in the words of its author."""

    GRAY = "gray"
    """Not meant for use, or only kept for what depends on it."""
    RED = "red"
    """A prototype that nobody has validated."""
    ORANGE = "orange"
    """It shows promise on some data, and needs care."""
    YELLOW = "yellow"
    """Ready to be tested rigorously."""
    GREEN = "green"
    """Validated, and ready for use."""


class PeriodType(StrEnum):
    """What one row of the data stands for."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ANY = "any"
    """Either of them: the model takes what it gets."""


class ModelMetadata(BaseModel):
    """Who has made the model, and how ready it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Annotated[str | None, Field(description="The person or the team.")] = None
    author_note: Annotated[str | None, Field(description="What users should know before they use it.")] = None
    author_assessed_status: AssessedStatus | None = None
    contact_email: Annotated[str | None, Field(description="For questions about the model.")] = None
    organization: str | None = None
    organization_logo_url: str | None = None
    citation_info: Annotated[str | None, Field(description="How to cite the model.")] = None
    repository_url: str | None = None
    documentation_url: str | None = None


class MLServiceInfo(ServiceInfo):
    """The name of a service, its model's author, and what the model needs. Only `display_name` is required.

    `/docs` shows the name and the description, as for every service, and `/api/v1/info` shows all of it.
    """

    model_metadata: ModelMetadata = ModelMetadata()
    period_type: PeriodType = PeriodType.ANY
    min_prediction_periods: Annotated[int, Field(ge=0)] = 0
    max_prediction_periods: Annotated[int, Field(ge=0)] = 100
    required_covariates: list[str] = Field(default_factory=list, description="Columns that the data must have.")
    allow_free_additional_continuous_covariates: Annotated[
        bool, Field(description="Whether a config may name more columns for the model to use.")
    ] = False
    requires_geo: Annotated[bool, Field(description="Whether the model needs `geo`.")] = False
    target: Annotated[str, Field(description="The column that is predicted.")] = "disease_cases"
    git_revision: Annotated[str | None, Field(description="Which code this is.")] = None
    hpo_search_space: Annotated[
        dict[str, Any] | None, Field(description="Which settings of a config are worth trying, for who tunes them.")
    ] = None

    @model_validator(mode="after")
    def _check_periods(self) -> "MLServiceInfo":
        if self.min_prediction_periods > self.max_prediction_periods:
            raise ValueError("min_prediction_periods is more than max_prediction_periods")
        return self


def add_info_route(app: FastAPI, path: str) -> None:
    """Add the route that shows what the application's `info` says; without a builder, its title and version."""
    info = getattr(app.state, "info", None)
    if not isinstance(info, ServiceInfo):
        info = ServiceInfo(display_name=app.title, version=app.version, summary=app.summary)

    async def get_info() -> ServiceInfo:
        return info

    app.router.add_api_route(
        path,
        get_info,
        route_class_override=JobRoute,
        tags=["service"],
        operation_id="getInfo",
        summary="What this service is",
        response_model=type(info),
    )
