"""Services with guards, for tests that need a real server."""

import os

from fastapi import APIRouter, FastAPI, WebSocket

from servicekit.api import ApiKey, JobSubmitted, Role, ServiceBuilder, ServiceInfo, SubmitJob
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
