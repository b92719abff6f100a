"""A service with a task of each kind of parameter, for the page in a browser. Its files are in the folder `FOLDER`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field, SecretStr

from servicekit import current_job
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

FOLDER = Path(os.environ.get("FOLDER", "."))
tasks = Tasks(FOLDER / "tasks.db")

SCRIPT = """
import sys
for step in range(1, 4):
    print("::progress %d/3 step %d" % (step, step), flush=True)
    print("line %d <b>of</b> %s" % (step, sys.argv[1]), flush=True)
print("careful", file=sys.stderr)
"""


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Door(BaseModel):
    floor: Annotated[int, Field(le=9)] = 0
    names: list[str] = ["nobody"]


class Address(BaseModel):
    """Where it is."""

    street: str
    number: int = 1
    code: SecretStr
    door: Door = Door(floor=2)


class Words(BaseModel):
    words: str


@tasks.task
def everything(
    text: str,
    number: Annotated[int, Field(ge=1, le=9, description="From 1 to 9.")],
    ratio: float,
    color: Color,
    address: Address,
    password: SecretStr,
    labels: list[str],
    numbers: list[int],
    is_loud: bool = True,
    size: Literal["s", "m"] = "m",
    note: str | None = None,
    greeting: str = "hello",
    level: int = 5,
    limits: dict[str, int] | None = None,
) -> dict[str, object]:
    """One parameter of each kind: <i>nothing is markup</i>."""
    return {
        "text": text,
        "number": number,
        "ratio": ratio,
        "color": color.value,
        "address": [address.street, address.number, address.code.get_secret_value()[::-1]],
        "door": address.door.model_dump(),
        "password": password.get_secret_value()[::-1],
        "labels": labels,
        "numbers": numbers,
        "is_loud": is_loud,
        "size": size,
        "note": note,
        "greeting": greeting,
        "level": level,
        "limits": limits,
    }


@tasks.task
async def forever() -> None:
    """It has to be canceled."""
    current_job().progress(1, 4, "waiting")
    await asyncio.Event().wait()


@tasks.task
def fail(text: str) -> None:
    raise ValueError(text)


tasks.add_command("speak", [sys.executable, "-c", SCRIPT, "{words}"], parameters=Words, description="Say three lines.")

service = (
    ServiceBuilder(info=ServiceInfo(display_name="Page"))
    .with_jobs(url="memory://")
    .with_artifacts(Artifacts(FOLDER / "artifacts"))
    .with_tasks(tasks)
    .with_dashboard()
    .build()
)


@asynccontextmanager
async def run_service(_: FastAPI) -> AsyncIterator[None]:
    async with service.router.lifespan_context(service):
        yield


app = FastAPI(lifespan=run_service)
app.mount("/mounted", service)
