"""Services with guards, for tests that need a real server."""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from servicekit.api import (
    Access,
    AccessDependency,
    ApiKey,
    JobSubmitted,
    Role,
    ServiceBuilder,
    ServiceInfo,
    SubmitJob,
    SubmitJobSync,
    find_access,
)
from servicekit.api.sse import OpenStreams
from servicekit.api.state import service_state
from tests.api.apps import hold
from tests.fakes import noop

SECRETS = {name: f"{name}-secret-{'0123456789' * 2}" for name in ("reader", "actor", "admin", "ana", "ben", "spare")}
KEYS = [
    ApiKey(name="reader", secret=SECRETS["reader"]),
    ApiKey(name="actor", secret=SECRETS["actor"], role=Role.ACT),
    ApiKey(name="admin", secret=SECRETS["admin"], role=Role.ADMIN),
    ApiKey(name="ana", secret=SECRETS["ana"], owner="ana", role=Role.ACT),
    ApiKey(name="ben", secret=SECRETS["ben"], owner="ben", role=Role.ACT),
]
router = APIRouter()


def bearer(name: str) -> dict[str, str]:
    """The headers of who has this key."""
    return {"Authorization": f"Bearer {SECRETS[name]}"}


@router.post("/noop", status_code=202)
async def submit_noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(noop)


@router.post("/hold/{name}", status_code=202)
async def submit_hold(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(hold, name)


@router.get("/own")
async def own() -> str:
    return "an endpoint of the user's"


@router.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def builder() -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name="Guarded")).with_jobs(url="memory://", shutdown_grace=0)


def with_keys() -> FastAPI:
    return builder().with_auth(KEYS).with_health().with_monitoring().include_router(router).build()


def impatient(app: FastAPI) -> FastAPI:
    """The application, whose open streams are asked again all the time."""
    service_state(app).streams = OpenStreams(tick_seconds=0.05, access_seconds=0.1)
    return app


def with_key_file() -> FastAPI:
    return impatient(builder().with_auth(key_file=os.environ["KEYS"]).include_router(router).build())


USERS = {
    "reader": Access(everything=True),
    "actor": Access(everything=True, may_act=True),
    "admin": Access(owner="admin", everything=True, may_act=True),
    "ana": Access(owner="ana", may_act=True),
    "ben": Access(owner="ben", may_act=True),
    "ana looks": Access(owner="ana"),
}
"""The users of the services below. A test may take one away for a while."""
broken: list[str] = []
"""The error that the next question for an access raises."""
sessions: set[str] = set()
"""The database sessions that are open."""


async def open_session() -> AsyncIterator[str]:
    session = f"session {len(sessions)}"
    sessions.add(session)
    try:
        yield session
    finally:
        sessions.discard(session)


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def get_access(
    session: Annotated[str, Depends(open_session)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    login: Annotated[str | None, Cookie()] = None,
) -> Access:
    assert session in sessions
    if broken:
        raise RuntimeError(broken.pop())
    name = login if credentials is None else credentials.credentials
    if name not in USERS:
        raise HTTPException(401, "Log in first.", headers={"WWW-Authenticate": "Bearer"})
    return USERS[name]


@router.post("/sync/noop", status_code=202)
def submit_in_thread(submit: SubmitJobSync) -> JobSubmitted:
    return submit(noop)


@router.post("/for/{owner}", status_code=202)
async def submit_for(owner: str, submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(owner=owner)(noop)


@router.get("/earlier")
async def find_earlier(submit: SubmitJob) -> JobSubmitted | None:
    return await submit.earlier()


@router.get("/me")
async def who_am_i(request: Request, access: AccessDependency) -> str | None:
    assert find_access(request) == access
    return access.owner


def with_access(**options: Any) -> FastAPI:
    jobs = ServiceBuilder(info=ServiceInfo(display_name="Users")).with_jobs(
        url="memory://", access=get_access, shutdown_grace=0, **options
    )
    return jobs.include_router(router).build()


def that_asks_often() -> FastAPI:
    app = impatient(with_access(ticket_secret="a-secret-of-all-processes", ticket_seconds=5))

    @app.post("/remove/{name}")
    async def remove_user(name: str) -> None:
        del USERS[name]

    @app.post("/break")
    async def break_access() -> None:
        broken.append("broken")

    @app.get("/sessions")
    async def count_sessions() -> int:
        return len(sessions)

    return app
