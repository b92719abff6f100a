"""A service whose model trains until it is stopped: uvicorn tests.ml.command_service:app"""

from pathlib import Path

from servicekit.api import ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.ml import CommandModel, MLServiceInfo

waiting = CommandModel(
    train=["node", "scripts/misbehave.js", "wait"],
    predict=["true"],
    folder=Path(__file__).parent / "commands",
    max_restarts=0,
)

app = (
    ServiceBuilder(info=MLServiceInfo(display_name="Waiting"))
    .with_jobs()
    .with_artifacts(Artifacts("artifacts"))
    .with_ml(waiting)
    .build()
)
