"""What every index decides in the same way: where an artifact may stand, and what may take the place of what."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.record import Changes, NewArtifact
from servicekit.errors import ArtifactConflict, ArtifactNotFound


class Parent(NamedTuple):
    """What the place of an artifact depends on: the one above it."""

    kind: str
    level: int


class Rule(NamedTuple):
    """What a hierarchy says of a kind."""

    hierarchy: str
    parent_kind: str | None
    """`None`: it has no parent."""


class Stand(NamedTuple):
    """Where an artifact stands."""

    level: int
    label: str | None


class Earlier(NamedTuple):
    """What is known of an artifact whose id is wanted once more."""

    job_id: str | None
    attempt: int | None
    parent_id: str | None
    kind: str


def rules_of(hierarchy: Hierarchy) -> list[tuple[str, str, str | None]]:
    """The rows of a hierarchy: each kind, the hierarchy's name, and the kind above."""
    above = (None, *hierarchy.kinds)
    return [(kind, hierarchy.name, parent) for kind, parent in zip(hierarchy.kinds, above, strict=False)]


def find_stand(new: NewArtifact, parent: Parent | None, rule: Rule | None) -> Stand:
    """Where the new artifact stands. `parent` is what was found, `rule` that of its kind.

    `ArtifactNotFound` if the parent is not there; `ArtifactConflict` if it may not stand there.
    """
    if new.parent_id is not None and new.parent_id == new.id:
        raise ArtifactConflict(new.id, f"The artifact {new.id} would stand below itself.")
    if new.parent_id is not None and parent is None:
        raise ArtifactNotFound(new.parent_id)
    if rule is not None:
        _check_rule(new, rule, None if parent is None else parent.kind)
    return Stand(0 if parent is None else parent.level + 1, None if rule is None else new.kind)


def check_replacement(new: NewArtifact, there: Earlier, has_children: Callable[[], bool]) -> None:
    """`ArtifactConflict` unless an earlier attempt of the same job has saved what has this id."""
    is_earlier = new.job_id is not None and there.job_id == new.job_id
    if not is_earlier or (there.attempt or 0) >= (new.attempt or 0):
        raise ArtifactConflict(new.id, f"There is an artifact {new.id} already.")
    if (there.parent_id, there.kind) != (new.parent_id, new.kind) and has_children():
        reason = f"The artifact {new.id} of an earlier attempt has others below it, so its place cannot change."
        raise ArtifactConflict(new.id, reason)


def values_of(changes: Changes, *, keep: str | None) -> dict[str, Any]:
    """The columns that change, with their new values. `keep` is what stands in the row."""
    values: dict[str, Any] = {}
    if changes.metadata is not None:
        values["metadata"] = changes.metadata
    if changes.tags is not None:
        values["tags"] = write_tags(changes.tags)
    if changes.is_pinned is not None:
        values["keep"] = "always" if changes.is_pinned else None if keep == "always" else keep
    return values


def refuse_parent(artifact_id: str) -> ArtifactConflict:
    """The error for the deletion of an artifact that has others below it."""
    reason = f"The artifact {artifact_id} has others below it. Delete it with recursive=True, and them with it."
    return ArtifactConflict(artifact_id, reason)


def refuse_others(artifact_id: str) -> ArtifactConflict:
    """The error for the deletion of an artifact that has others below it which belong to somebody else."""
    reason = f"Below the artifact {artifact_id} are others that are not yours, so it cannot be deleted."
    return ArtifactConflict(artifact_id, reason)


def write_tags(tags: tuple[str, ...]) -> str:
    """Tags as they stand in a row."""
    return json.dumps(tags, ensure_ascii=False)


def _check_rule(new: NewArtifact, rule: Rule, found: str | None) -> None:
    if rule.parent_kind == found:
        return
    expected = rule.parent_kind
    wanted = "has no parent" if expected is None else f"stands directly below one of the kind {expected!r}"
    there = "this one has none" if found is None else f"the parent's kind is {found!r}"
    reason = f"In the hierarchy {rule.hierarchy!r}, an artifact of the kind {new.kind!r} {wanted}, but {there}."
    raise ArtifactConflict(new.parent_id, reason)
