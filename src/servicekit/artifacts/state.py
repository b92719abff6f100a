"""What the artifact routes of one application need. It is in the application's state."""

from dataclasses import dataclass, field

from fastapi import Request

from servicekit.api import Service
from servicekit.api.state import Application
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.checked_json import CheckedJson
from servicekit.artifacts.upkeep import Upkeep
from servicekit.errors import ConfigurationError


@dataclass
class ArtifactsState:
    """The artifacts of one application."""

    artifacts: Artifacts
    upkeep: Upkeep
    checked: CheckedJson = field(default_factory=CheckedJson)
    prefix: str = ""


def artifacts_of(app: Application) -> Artifacts:
    """The artifacts of this application. `ConfigurationError` if it has none."""
    return state_of(app).artifacts


def state_of(app: Application) -> ArtifactsState:
    """What the routes of this application need. `ConfigurationError` if it has no artifacts."""
    state = find_state(app)
    if state is None:
        sentence = "This application has no artifacts: set them up with .with_artifacts(Artifacts(...))."
        raise ConfigurationError("artifacts", None, sentence=sentence)
    return state


def find_state(app: Application) -> ArtifactsState | None:
    """What the routes of this application need, if it has artifacts."""
    state = getattr(app.state, "servicekit_artifacts", None)
    return state if isinstance(state, ArtifactsState) else None


def artifacts_path(request: Request) -> str:
    """The path of the artifact routes for the client of this request, which may be behind a proxy."""
    service = Service.of(request.app)
    jobs_path = service.job_url(request, "").removesuffix("/")
    return jobs_path.removesuffix(service.jobs_prefix) + state_of(request.app).prefix
