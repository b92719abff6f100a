"""A service ends while a model's check hangs: python -m tests.ml.hanging_check"""

import asyncio
import threading
from tempfile import TemporaryDirectory

import httpx
from httpx import ASGITransport

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.ml import Json, Model, Table

begun = threading.Event()
model = Model(serializer=Json())


@model.train
def train(data: Table) -> int:
    return len(data)


@model.predict
def predict(future: Table) -> Table:
    return future


@model.validate
def check() -> list[str]:
    begun.set()
    threading.Event().wait()
    return []


async def main(folder: str) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Hanging")).with_jobs()
    app = builder.with_artifacts(Artifacts(folder)).with_ml(model).build()
    transport = ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        body = {"data": {"columns": ["a"], "data": [[1]]}}
        checking = asyncio.create_task(client.post("/api/v1/ml/$validate", json=body))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        checking.cancel()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(main(folder))
