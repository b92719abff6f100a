"""Artifacts as bytes of JSON. Content that is JSON is put between them as it is kept, and never parsed."""

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic_core import to_json

from servicekit.artifacts.record import Artifact

_DATA: Final = b',"data":'
_CHILDREN: Final = b',"children":['
_MAX_DEPTH: Final = 64  # each is two levels of JSON, of which the readers of some languages allow only some hundreds


def summary_json(artifact: Artifact) -> bytes:
    """All that is known of it, without its content."""
    return to_json(
        {
            "id": artifact.id,
            "parent_id": artifact.parent_id,
            "level": artifact.level,
            "level_label": artifact.level_label,
            "kind": artifact.kind,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "size": artifact.size,
            "sha256": artifact.sha256,
            "metadata": artifact.metadata,
            "tags": artifact.tags,
            "job_id": artifact.job_id,
            "attempt": artifact.attempt,
            "origin": artifact.origin,
            "keep": artifact.keep,
            "owner": artifact.owner,
            "created_at": artifact.created_at,
            "updated_at": artifact.updated_at,
        }
    )


def list_json(artifacts: Iterable[Artifact]) -> bytes:
    """An array of artifacts."""
    return b"[%b]" % b",".join(map(summary_json, artifacts))


def around_data(artifact: Artifact) -> tuple[bytes, bytes]:
    """What stands before and after the content in the record of one artifact."""
    return summary_json(artifact)[:-1] + _DATA, b"}"


def upper_part(artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
    """As much of a tree, which comes level by level, as clients can read if one is nested in the other."""
    return [each for each in artifacts if each.level - artifacts[0].level < _MAX_DEPTH]


def tree_json(artifacts: Sequence[Artifact]) -> bytes:
    """The first artifact with the others in it, each below its parent, which must come before it.

    It is made from the last one upwards and without recursion, since trees can be deep.
    """
    below: dict[str | None, list[bytes]] = {}
    node = b""
    for artifact in reversed(artifacts):
        children = b",".join(reversed(below.pop(artifact.id, [])))
        node = b"%b%b%b]}" % (summary_json(artifact)[:-1], _CHILDREN, children)
        below.setdefault(artifact.parent_id, []).append(node)
    return node
