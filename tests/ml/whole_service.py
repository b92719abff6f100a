"""A service with everything that takes bodies: uvicorn tests.ml.whole_service:app, in a folder of its own."""

from servicekit.api import ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.ml import MLServiceInfo
from servicekit.tasks import Tasks
from tests.ml.python_model import means_in_python
from tests.tasks.targets import add

tasks = Tasks("tasks.db")
tasks.task(add)

app = (
    ServiceBuilder(info=MLServiceInfo(display_name="Whole"))
    .with_jobs(url="memory://")
    .with_artifacts(Artifacts("artifacts"))
    .with_tasks(tasks)
    .with_ml(means_in_python)
    .build()
)
