"""Where the tasks of an application find what else they need."""

from servicekit.api import Service
from servicekit.api.state import Application
from servicekit.artifacts import Artifacts
from servicekit.artifacts.feature import artifacts_of
from servicekit.errors import ConfigurationError


def find_artifacts(app: Application) -> Artifacts | None:
    """The artifacts of the application; `None` if it has none."""
    try:
        return artifacts_of(app)
    except ConfigurationError:
        return None


def artifacts_address(app: Application) -> str:
    """Where the application keeps its artifacts. `ConfigurationError` if it has none."""
    artifacts = find_artifacts(app)
    if artifacts is None:
        sentence = (
            "Commands, and tasks with artifact=True, keep what they produce: add "
            '.with_artifacts(Artifacts("artifacts")), or install(app, Artifacts("artifacts")).'
        )
        raise ConfigurationError("artifacts", None, sentence=sentence)
    return artifacts.address


def artifacts_prefix(app: Application) -> str | None:
    """The path of the artifact routes in the application; `None` if it has none."""
    artifacts = find_artifacts(app)
    return None if artifacts is None else artifacts.prefix or Service.of(app).path_beside_jobs("artifacts")
