"""The route that gives tickets for streams."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from servicekit.api.access import Access
from servicekit.api.admission import find_access
from servicekit.api.errors import ErrorBody
from servicekit.api.guard import GUARD_IN_SCOPE, Guard
from servicekit.api.job_access import check_is_seen
from servicekit.api.job_parameters import MAX_JOB_IDS
from servicekit.api.job_responses import NO_JOB, OTHER_SITE, Responses
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.api.state import ServiceState, service_state
from servicekit.api.tickets import TICKET_VARIABLE
from servicekit.errors import MissingExtra
from servicekit.jobs.ids import parse_job_id

_NO_SECRET: Final = f"This service gives no tickets: it needs with_jobs(ticket_secret=...), or {TICKET_VARIABLE}."
_RESPONSES: Final[Responses] = {
    **NO_JOB,
    **OTHER_SITE,
    501: {
        "model": ErrorBody,
        "description": "The service has nothing to sign tickets by: the answer says what is missing.",
        "content": {"application/json": {"example": {"detail": _NO_SECRET}}},
    },
}


class TicketRequest(BaseModel):
    """What a ticket is to be good for."""

    model_config = ConfigDict(extra="forbid")

    job_ids: Annotated[
        list[str], Field(max_length=MAX_JOB_IDS, description="Only for these jobs. If empty: for all that you see.")
    ] = []


class TicketGiven(BaseModel):
    """A ticket for the streams of jobs."""

    ticket: str = Field(description="For `?ticket=` of a stream's address. Reading is all that it is good for.")
    expires_at: datetime = Field(description="When it ends (UTC). An open stream ends within half a minute after that.")


def add_ticket_route(app: FastAPI) -> None:
    """Add the route once, beside those of the jobs."""
    state = service_state(app)
    if state.has_ticket_route:
        return
    state.has_ticket_route = True
    app.router.add_api_route(
        f"{state.jobs_prefix}/$ticket",
        create_ticket,
        methods=["POST"],
        tags=["jobs"],
        summary="Get a ticket for streams",
        responses=_RESPONSES,
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )


async def create_ticket(request: Request, response: Response, wanted: TicketRequest | None = None) -> TicketGiven:
    """A ticket by which a page reads streams with `EventSource`, which sends no headers: `?ticket=...` in the address.

    It is good for reading the streams of the jobs that it names, or of all that its owner sees, until it ends.
    """
    state, access = service_state(request.app), find_access(request)
    secret = _find_secret(state, request)
    job_ids = [parse_job_id(job_id) for job_id in wanted.job_ids] if wanted else []
    for job_id in job_ids:
        await check_is_seen(request, job_id, access)
    ticket, expires_at = _sign(state, access, job_ids, secret)
    response.headers["cache-control"] = "no-store"
    return TicketGiven(ticket=ticket, expires_at=expires_at)


def _find_secret(state: ServiceState, request: Request) -> bytes:
    if state.gate is not None:
        secret = state.ticket_secret
    else:
        guard: Guard | None = request.scope.get(GUARD_IN_SCOPE)
        key = None if guard is None else guard.find_key(request.scope)
        secret = None if key is None else key.digest
    if secret is None:
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, _NO_SECRET)
    return secret


def _sign(state: ServiceState, access: Access, job_ids: list[str], secret: bytes) -> tuple[str, datetime]:
    assert state.tickets is not None  # they come with the jobs
    try:
        return state.tickets.sign(access, job_ids, secret)
    except MissingExtra as error:
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, str(error)) from error
