"""The route that suggests what to look for."""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field

from servicekit.api.admission import find_access
from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.job_responses import UNAVAILABLE
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.jobs.options import MAX_TEXT_CHARACTERS
from servicekit.jobs.suggestions import SuggestedField, SuggestionRequest


class JobSuggestion(BaseModel):
    """A value that jobs have."""

    value: str = Field(description="The value.", examples=["train_model"])
    count: int | None = Field(description="How many jobs have it; `null` if that is not known.", examples=[42])


def add_suggestion_route(app: FastAPI, prefix: str) -> None:
    """Add the route to the application itself, since an included router would cost every request some time."""
    app.router.add_api_route(
        f"{prefix}/$suggestions",
        suggest_values,
        tags=["jobs"],
        summary="Suggest what to look for",
        responses=UNAVAILABLE,
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )


async def suggest_values(
    request: Request,
    scheduler: SchedulerDependency,
    field: Annotated[SuggestedField, Query(description="By what jobs are looked for.")],
    prefix: Annotated[
        str,
        Query(
            max_length=MAX_TEXT_CHARACTERS,
            description="What the values begin with. Upper and lower case differ.",
            examples=["train"],
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="The most values.")] = 20,
) -> list[JobSuggestion]:
    """The names, queues, tags or owners that jobs have and that begin with the prefix, in order. All that the newest
    10,000 jobs have are considered, and perhaps older ones. It costs the same however many there are.
    """
    access = find_access(request)
    owner = None if access.everything else access.owner
    found = await scheduler.suggest(SuggestionRequest(field, prefix, owner, limit))
    return [JobSuggestion(value=value, count=count) for value, count in found]
