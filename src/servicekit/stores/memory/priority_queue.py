"""Items in the order of their keys."""

from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key", bound=tuple[int | datetime, int | str])

# Keys that were taken out stay in the heap until they are more than those that count, and so many more. So the heap is
# made anew seldom, and a short one never.
_SLACK: Final = 32


class PriorityQueue(Generic[Key, Item]):
    """Items in the order of their keys, which are all different. An item can be taken out or moved at any time.

    It is a heap of keys. Those of what was taken out stay in it until they come up, or until there are more of them
    than of the rest.
    """

    __slots__ = ("_heap", "_items", "_keys")

    def __init__(self) -> None:
        self._heap: list[Key] = []
        self._items: dict[Key, Item] = {}
        self._keys: dict[Item, Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, item: Item) -> bool:
        return item in self._keys

    def put(self, item: Item, key: Key) -> None:
        """Add the item, or move it."""
        self.discard(item)
        self._items[key] = item
        self._keys[item] = key
        heappush(self._heap, key)
        if len(self._heap) > 2 * len(self._keys) + _SLACK:
            self._heap = list(self._items)
            heapify(self._heap)

    def discard(self, item: Item) -> None:
        """Take the item out, if it is there."""
        key = self._keys.pop(item, None)
        if key is not None:
            del self._items[key]

    def list(self) -> "list[tuple[Key, Item]]":
        """All items with their keys, in no order."""
        return list(self._items.items())

    def first(self) -> tuple[Key, Item] | None:
        """The item with the smallest key. It is not taken out."""
        heap = self._heap
        while heap:
            item = self._items.get(heap[0])
            if item is not None:
                return heap[0], item
            heappop(heap)
        return None
