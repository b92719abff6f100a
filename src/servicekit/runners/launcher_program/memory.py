"""How much memory the processes of a job hold."""

import time
from contextlib import suppress
from typing import Final

from .processes import list_descendants

# To go through all processes of a machine takes milliseconds where there are thousands. What a job starts is counted
# a second later at the latest.
_LIST_SECONDS: Final = 1.0
# To count shared pages takes the kernel a tenth of a second for each GB, and more. With a pause of ten times that, it
# takes at most a tenth of a processor.
_COUNT_PAUSE: Final = 10


class MemoryWatch:
    """Looks how much memory the descendants of this process hold. Where there is no /proc, none is seen.

    A limit of the system (`RLIMIT_AS`) does not help: it limits addresses, not memory. Libraries reserve far more
    addresses than they use, and some ask again for ever if they get none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pids: list[int] = []
        self._list_at = self._count_at = 0.0

    def find_excess(self) -> int | None:
        """The number of bytes, if that is too many; else `None`."""
        now = time.monotonic()
        if now >= self._list_at:
            self._pids = [process.pid for process in list_descendants()]
            self._list_at = now + _LIST_SECONDS
        used = sum(read_memory(pid, "status", (b"VmRSS", b"VmSwap")) for pid in self._pids)
        # These figures count a page that several processes share once for each of them. So the exact ones decide.
        if used > self._max_bytes and now >= self._count_at:
            used = sum(read_memory(pid, "smaps_rollup", (b"Pss", b"SwapPss")) for pid in self._pids)
            self._count_at = now + _COUNT_PAUSE * (time.monotonic() - now)
            return used if used > self._max_bytes else None
        return None


def read_memory(pid: int, file: str, names: tuple[bytes, ...]) -> int:
    """The sum of the figures with these names in bytes; 0 for a process that has ended."""
    total = 0
    with suppress(OSError), open(f"/proc/{pid}/{file}", "rb") as lines:  # a process may have any bytes for its name
        for line in lines:
            name, _, rest = line.partition(b":")
            if name in names:
                total += 1024 * int(rest.split()[0])
    return total
