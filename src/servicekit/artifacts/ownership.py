"""What somebody sees of artifacts who sees only those of one owner."""

from collections.abc import Sequence

from servicekit.artifacts.record import Artifact
from servicekit.errors import ArtifactNotFound


def check_is_seen(artifact: Artifact, seer: str | None) -> Artifact:
    """The artifact. `ArtifactNotFound` if who sees only what `seer` has does not see it."""
    if seer not in (None, artifact.owner):
        raise ArtifactNotFound(artifact.id)
    return artifact


def seen_part(ancestors: Sequence[Artifact], seer: str | None) -> Sequence[Artifact]:
    """The lower part of a line of ancestors, down from the first that is seen with all below it."""
    hidden = [place for place, each in enumerate(ancestors) if seer not in (None, each.owner)]
    return ancestors[hidden[-1] + 1 :] if hidden else ancestors
