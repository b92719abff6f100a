"""The models of one application. They are in its state, so that one process can have two services."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from servicekit.api.state import Application
from servicekit.errors import ConfigurationError
from servicekit.ml.learner import Learner


@dataclass(frozen=True, slots=True)
class NamedLearner:
    """A learner, and its name in this application."""

    name: str
    learner: Learner

    @property
    def file_name(self) -> str:
        """What the file of each of its trained models is called. By it, models of different learners are told apart."""
        return f"{self.name}{self.learner.options.model_suffix}"


@dataclass
class Models:
    """The learners of an application, by name, in the order in which they were added."""

    learners: dict[str, NamedLearner] = field(default_factory=dict)
    has_routes: bool = False

    def __iter__(self) -> Iterator[NamedLearner]:
        return iter(self.learners.values())

    @property
    def only(self) -> NamedLearner | None:
        """The only one, if there is one."""
        return next(iter(self)) if len(self.learners) == 1 else None

    def add(self, name: str, learner: Learner) -> NamedLearner:
        """`ConfigurationError` if there is one of this name."""
        if name in self.learners:
            sentence = f"There are two models named {name!r} in this service. Give one of them another name=."
            raise ConfigurationError("name", name, sentence=sentence)
        added = self.learners[name] = NamedLearner(name, learner)
        return added


def models_of(app: Application) -> Models:
    """The models of this application."""
    models = getattr(app.state, "servicekit_models", None)
    if not isinstance(models, Models):
        models = app.state.servicekit_models = Models()
    return models
