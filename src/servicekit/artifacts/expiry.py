"""Retention, carried out: the oldest artifacts go, and never one with others below it before these."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from servicekit.artifacts.retention import ArtifactBounds, ArtifactRetention
from servicekit.artifacts.storage import ArtifactStorage

_BATCH: Final = 500  # other writes wait for this one, so it must be short
# When the leaves of a tree are gone, what they stood on are leaves. A deep tree goes in several turns, so that one turn
# has an end.
_MOST_PASSES: Final = 20


def drop_expired(storage: ArtifactStorage, retention: ArtifactRetention) -> int:
    """Drop what is beyond the bounds. Return how many artifacts that were. It blocks."""
    count = 0
    for kind, bounds in retention.groups():
        if bounds != ArtifactBounds():
            group = _Group(storage, kind, () if kind is not None else tuple(retention.by_kind), bounds)
            passes = iter(group.drop_leaves, 0)
            count += sum(dropped for dropped, _ in zip(passes, range(_MOST_PASSES), strict=False))
    return count


class _Group:
    """Artifacts that share bounds: those of a kind, or of all kinds but some."""

    def __init__(
        self, storage: ArtifactStorage, kind: str | None, except_kinds: Collection[str], bounds: ArtifactBounds
    ) -> None:
        self._storage = storage
        self._kind = kind
        self._except_kinds = except_kinds
        self._bounds = bounds

    def drop_leaves(self) -> int:
        """Walk along the artifacts, the oldest first, and drop those that must go and have none below them."""
        oldest = None if self._bounds.max_age is None else datetime.now(UTC) - self._bounds.max_age
        excess = self._find_excess()
        count = after = 0
        is_done = False
        while not is_done:
            page = self._storage.index.list_expirable(
                self._kind, except_kinds=self._except_kinds, after=after, limit=_BATCH
            )
            chosen: list[str] = []
            is_done = len(page) < _BATCH
            for each in page:
                after = each.number
                if excess <= 0 and (oldest is None or each.created_at >= oldest):
                    is_done = True  # all that comes after it is younger
                    break
                if not each.has_children:
                    chosen.append(each.id)
                    excess -= each.size
            count += self._storage.remove_expired(chosen) if chosen else 0
        return count

    def _find_excess(self) -> int:
        """How many bytes there are too much."""
        if self._bounds.max_bytes is None:
            return 0
        sizes = self._storage.index.sum_bytes()
        if self._kind is not None:
            return sizes.get(self._kind, 0) - self._bounds.max_bytes
        return sum(size for kind, size in sizes.items() if kind not in self._except_kinds) - self._bounds.max_bytes
