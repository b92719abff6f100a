"""From a plan to a job: what was sent becomes artifacts, and the job is given their ids.

    request ──▶ Planner ──▶ Plan ──▶ submit_plan ──▶ job

So a job's record stays small however large the tables are, and the lineage is complete.
"""

from contextlib import suppress
from typing import Final

from fastapi.exceptions import RequestValidationError

from servicekit.api import JobSubmitted, SubmitJob
from servicekit.artifacts import Artifacts, Origin
from servicekit.errors import IdempotencyConflict, InvalidContent, ServicekitError
from servicekit.ml.jobs import DATA_KIND
from servicekit.ml.planning import Plan
from servicekit.ml.requests import mistake_at

GEO_KIND: Final = "geo"


async def submit_plan(plan: Plan, artifacts: Artifacts, submit: SubmitJob, owner: str | None) -> JobSubmitted:
    """Save what is not saved yet, for this owner, and submit the job. If that is refused, nothing is left of it."""
    saved: list[str] = []
    try:
        ids = await _save_inputs(plan, artifacts, saved, owner)
        arguments = {
            "artifacts": artifacts.address,
            "learner": plan.chosen.name,
            "config": dict(plan.config_facts),
            **({} if plan.model is None else {"model": plan.model.id}),
            **ids,
            "run_info": dict(plan.run_info),
        }
        learner = plan.chosen.learner
        return await submit(learner.trainer if plan.kind == "train" else learner.predictor, **arguments)
    except (ServicekitError, RequestValidationError) as error:  # and nothing else: a job may have been accepted by then
        for artifact_id in saved:
            with suppress(ServicekitError):
                await artifacts.aio.delete(artifact_id)
        earlier = await submit.earlier() if isinstance(error, IdempotencyConflict) else None
        if earlier is None:
            raise
        return earlier


async def _save_inputs(plan: Plan, artifacts: Artifacts, saved: list[str], owner: str | None) -> dict[str, str]:
    """The ids of all inputs. Those of new artifacts are added to `saved`, also if another one cannot be saved."""
    ids = {name: table.artifact_id for name, table in plan.tables.items() if table.artifact_id is not None}
    if plan.geo_id is not None:
        ids["geo"] = plan.geo_id
    given: dict[str, object] = {name: table.given for name, table in plan.tables.items() if table.given is not None}
    if plan.geo is not None:
        given["geo"] = plan.geo
    for name, content in given.items():
        ids[name] = await _save(artifacts, name, content, owner)
        saved.append(ids[name])
    return ids


async def _save(artifacts: Artifacts, name: str, content: object, owner: str | None) -> str:
    kind = GEO_KIND if name == "geo" else DATA_KIND
    try:
        artifact = await artifacts.aio.save(
            content, kind=kind, name=f"{name}.json", as_json=kind == GEO_KIND, origin=Origin.UPLOAD, owner=owner
        )
    except InvalidContent as error:
        _, *place = error.place  # it begins with the content itself
        raise mistake_at(("body", name, *place), f"{error.reason}.") from error
    return artifact.id
