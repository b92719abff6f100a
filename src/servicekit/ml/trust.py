"""The one place that decides whether an artifact may be used as a trained model.

To read some formats runs code that is in the file. Clients can upload any bytes, with any name, media type, kind and
parent, and can change metadata and tags of every artifact. So nothing of that counts here. What counts is what only
the service writes: that a job of this service has saved the artifact by the job's own id, as a training does.

    is it a model?  has this learner made it?  can its format run code, and has a training made it?  ──▶ load

No other module calls `Serializer.load`, or unpacks the model of a command.
"""

from typing import Final

from servicekit.artifacts import Artifact, Artifacts, Origin
from servicekit.errors import ModelNotTrusted, ModelUnusable
from servicekit.ml.cache import ModelCache
from servicekit.ml.files import local_file
from servicekit.ml.serializers import Serializer

MODEL_KIND: Final = "model"


def check_model(artifact: Artifact, *, file_name: str, media_type: str, is_safe: bool) -> None:
    """`ModelUnusable` unless this artifact is a model in a file of this name and type; `ModelNotTrusted` if it may not
    be read since its format can run code (`is_safe` is false), and no training of this service has made it.
    """
    if artifact.kind != MODEL_KIND:
        raise ModelUnusable(artifact.id, f"is no model, but of the kind {artifact.kind!r}. Name the model instead.")
    if (artifact.name, artifact.media_type) != (file_name, media_type):
        described = f"{artifact.name or 'a file without a name'!r} of the type {artifact.media_type}"
        sentence = (
            f"is {described}, and not {file_name!r} of the type {media_type}: another model has made it, or it was "
        )
        raise ModelUnusable(artifact.id, sentence + "uploaded as something else.")
    if not is_safe and not _is_made_by_training(artifact):
        raise ModelNotTrusted(
            f"Artifact {artifact.id} is not read as a model: its format can run code, and no training of this service "
            "has made it."
        )


def load_model(
    artifacts: Artifacts, artifact: Artifact, serializer: Serializer, file_name: str, cache: ModelCache
) -> object:
    """The trained model of an artifact, which may be one that is in the cache. Raises what `check_model` raises."""
    check_model(artifact, file_name=file_name, media_type=serializer.media_type, is_safe=serializer.is_safe)

    def load() -> object:
        with local_file(artifacts, artifact) as path:
            return serializer.load(path)

    return cache.get(artifact.sha256, artifact.size, load)


def _is_made_by_training(artifact: Artifact) -> bool:
    """Whether a job has saved it under the job's own id, which no upload can have."""
    return artifact.origin is Origin.JOB and artifact.job_id is not None and artifact.job_id == artifact.id
