"""The service of `make demo-cluster CLUSTER=ray`: its training runs on a node of the cluster."""

import os
import time

from fastapi import APIRouter
from pydantic import BaseModel

from servicekit import Retry, current_job, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob

EPOCH_SECONDS = 1.0


class Training(BaseModel):
    epochs: int = 5


@job_options(runner="ray", resources={"cpus": 1}, retry=Retry(attempts=3, delay=0.5))
def train(epochs: int) -> dict[str, float]:
    loss = 1.0
    for epoch in range(epochs):
        time.sleep(EPOCH_SECONDS)
        loss *= 0.7
        current_job().progress(epoch + 1, epochs, f"on {os.environ['NODE']}: epoch {epoch + 1}, loss {loss:.2f}")
    return {"loss": round(loss, 4)}


router = APIRouter()


@router.post("/train", status_code=202)
async def start_training(training: Training, submit: SubmitJob) -> JobSubmitted:
    return await submit(train, training.epochs)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Training"))
    .with_jobs(shutdown_grace=1.0)
    .with_health()
    .include_router(router)
    .build()
)
