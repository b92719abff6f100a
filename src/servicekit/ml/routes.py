"""The routes of models: `/ml/$train`, `/ml/$predict` and `/ml/$validate`, with those of configs and the info."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from servicekit.api import JobSubmitted, Service, SubmitJob
from servicekit.api.admission import find_access
from servicekit.api.errors import ErrorBody
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.artifacts import Artifacts
from servicekit.artifacts.feature import artifacts_of
from servicekit.artifacts.seen import find_acting_seer, find_seer
from servicekit.errors import (
    ArtifactNotFound,
    ConfigNotFound,
    ModelNotReady,
    ModelNotTrusted,
    ModelUnusable,
    ServicekitError,
)
from servicekit.jobs.status import JobStatus
from servicekit.ml.config_routes import add_config_routes
from servicekit.ml.info import add_info_route
from servicekit.ml.learner import Diagnostic
from servicekit.ml.planning import Plan, Planner
from servicekit.ml.requests import ModelRequest, PredictRequest, TrainRequest, ValidateRequest, read_request
from servicekit.ml.state import models_of
from servicekit.ml.submissions import submit_plan
from servicekit.ml.validation import check_plan

# An answer with more is slow to make on the event loop. The client downloads it instead.
_MAX_RESULT_BYTES: Final = 1024 * 1024
_RETRY_SECONDS: Final = 5
_WHOLE_BODY: Final = ("body",)


class ModelJobSubmitted(JobSubmitted):
    """The response to an accepted training or prediction: where to look for its job and for what it will make."""

    artifact_id: str = Field(
        description="The id of the model or the prediction: that of the job. It is there when the job is completed."
    )


class DiagnosticBody(BaseModel):
    """What is wrong, or worth to know."""

    severity: str = Field(description="`error`, `warning` or `info`.", examples=["error"])
    code: str = Field(description="For programs.", examples=["value_error"])
    message: str = Field(description="For people.")
    field: str | None = Field(description="The place in the request.", examples=["data.data.3.1"])


class ValidationBody(BaseModel):
    """What a check has found."""

    valid: bool = Field(description="Whether there is no error.")
    diagnostics: list[DiagnosticBody]


def add_model_routes(app: FastAPI) -> None:
    """Add the routes, once, beside those of the jobs."""
    models = models_of(app)
    if models.has_routes:
        return
    models.has_routes = True
    service = Service.of(app)
    app.add_exception_handler(ModelNotReady, _answer_not_ready)
    app.include_router(_router(), prefix=service.path_beside_jobs("ml"))
    add_config_routes(app, service.path_beside_jobs("configs"))
    add_info_route(app, service.path_beside_jobs("info"))


class ModelService:
    """What the routes need."""

    def __init__(self, request: Request) -> None:
        app = request.app
        self.service = Service.of(app)
        self.artifacts = artifacts_of(app)
        self.owner = find_access(request).owner
        self.planner = Planner(self.service, self.artifacts, models_of(app), find_seer(request))

    async def plan(self, request: TrainRequest | PredictRequest) -> Plan:
        if isinstance(request, TrainRequest):
            return await self.planner.plan_training(request)
        return await self.planner.plan_prediction(request)

    async def read(self, kind: type[Any], request: Request) -> Any:
        return await read_request(kind, request, self.service, self.artifacts.max_data_bytes)


async def _get_model_service(request: Request) -> ModelService:
    return ModelService(request)  # not the class itself: FastAPI would call it in a thread, for every request


_Models = Annotated[ModelService, Depends(_get_model_service)]


def _router() -> APIRouter:
    router = APIRouter(route_class=JobRoute, tags=["models"], generate_unique_id_function=name_operation)

    @router.post("/$train", status_code=202, openapi_extra=_body(TrainRequest), responses=_R)
    async def train(request: Request, models: _Models, submit: SubmitJob) -> ModelJobSubmitted:
        """Train a model, in a job. What the request names is checked before; the answer is 202."""
        return await _submit(TrainRequest, request, models, submit)

    @router.post("/$predict", status_code=202, openapi_extra=_body(PredictRequest), responses=_R)
    async def predict(request: Request, models: _Models, submit: SubmitJob) -> ModelJobSubmitted:
        """Predict with a trained model, in a job. With `Prefer: wait=10`, the answer has the prediction as `result`."""
        submitted = await _submit(PredictRequest, request, models, submit)
        return await _with_prediction(submitted, models.artifacts)

    @router.post("/$validate", openapi_extra=_body(ValidateRequest))
    async def validate(request: Request, models: _Models) -> ValidationBody:
        """Check what a training or a prediction would get. Nothing is kept and no job is submitted."""
        find_acting_seer(request)
        found = await _check(request, models)
        diagnostics = [DiagnosticBody.model_validate(each, from_attributes=True) for each in found]
        return ValidationBody(valid=all(each.severity != "error" for each in found), diagnostics=diagnostics)

    return router


async def _submit(
    kind: type[TrainRequest] | type[PredictRequest], request: Request, models: ModelService, submit: SubmitJob
) -> ModelJobSubmitted:
    body = await models.read(kind, request)
    submitted = await submit.earlier()  # before anything is saved: the same key must not save it twice
    if submitted is None:
        submitted = await submit_plan(await models.plan(body), models.artifacts, submit, models.owner)
    return ModelJobSubmitted(**dict(submitted), artifact_id=submitted.job_id)


async def _with_prediction(submitted: ModelJobSubmitted, artifacts: Artifacts) -> ModelJobSubmitted:
    """The answer with the prediction itself, if the client has waited for it, and it is not large."""
    if submitted.status is not JobStatus.COMPLETED:
        return submitted
    try:
        artifact = await artifacts.aio.get(submitted.artifact_id)
        if artifact.size > _MAX_RESULT_BYTES:
            message = f"The prediction has {artifact.size:,} bytes: download the artifact {artifact.id}."
            return submitted.model_copy(update={"message": message})
        value: Any = artifact.data or await artifacts.aio.load(artifact.id)
    except ArtifactNotFound:  # it was deleted meanwhile
        return submitted
    return submitted.model_copy(update={"result": value["content"]})


async def _check(request: Request, models: ModelService) -> list[Diagnostic]:
    """What would be refused, or else what the model itself finds. What is no JSON is no request at all: 422."""
    try:
        body = await models.read(ValidateRequest, request)
        plan = await models.plan(body.as_request())
    except RequestValidationError as error:
        if any(each["loc"] == _WHOLE_BODY for each in error.errors()):
            raise
        return [_as_diagnostic(each) for each in error.errors()]
    except (ArtifactNotFound, ConfigNotFound, ModelNotTrusted, ModelUnusable) as error:
        field = "config_id" if isinstance(error, ConfigNotFound) else "artifact_id"
        return [Diagnostic(severity="error", code=_code_of(error), message=str(error), field=field)]
    return await check_plan(plan, models.artifacts)


def _as_diagnostic(error: dict[str, Any]) -> Diagnostic:
    place = [str(part) for part in error["loc"] if part != "body"]
    return Diagnostic(severity="error", code=error["type"], message=error["msg"], field=".".join(place) or None)


_NAME_PARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _code_of(error: ServicekitError) -> str:
    """`model_unusable` for a `ModelUnusable`."""
    return _NAME_PARTS.sub("_", type(error).__name__).lower()


async def _answer_not_ready(request: Request, error: Exception) -> JSONResponse:
    """409 that says where the training is to be followed, and when to come back."""
    assert isinstance(error, ModelNotReady)
    url = Service.of(request.app).job_url(request, error.job_id)
    headers = {"Location": url, "Retry-After": str(_RETRY_SECONDS)}
    return JSONResponse({"detail": str(error)}, status_code=409, headers=headers)


def _body(kind: type[ModelRequest]) -> dict[str, Any]:
    """The document of a body that the routes read by themselves, since a large one must not hold up the event loop."""
    schema = kind.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_R: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorBody, "description": "There is no such config or artifact."},
    409: {"model": ErrorBody, "description": "The artifact is no model that can be used, or not yet."},
    413: {"model": ErrorBody, "description": "The body is too large: upload the table as an artifact first."},
    422: {
        "description": "Something in the request is wrong: `loc` says where.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    },
}
