"""How much memory the processes of a job hold."""

import time
from contextlib import suppress
from typing import Final

from .processes import list_descendants

_LIST_SECONDS: Final = 1.0


class MemoryWatch:
    """Looks how much memory all that descends from this process holds. Where there is no /proc, that is not known.

    Not a limit of the system: that could only be on addresses, of which libraries reserve far more than they use, and
    some that get none go on asking for ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pids: list[int] = []
        self._list_at = self._count_at = 0.0

    def find_excess(self) -> int | None:
        """How many bytes it is, if that is too much."""
        now = time.monotonic()
        if now >= self._list_at:  # to go through all processes of the machine takes longer than to look at some
            self._pids = [process.pid for process in list_descendants()]
            self._list_at = now + _LIST_SECONDS
        used = sum(read_memory(pid, "status", (b"VmRSS", b"VmSwap")) for pid in self._pids)
        if used > self._max_bytes and now >= self._count_at:  # pages that several of them share were counted for each
            used = sum(read_memory(pid, "smaps_rollup", (b"Pss", b"SwapPss")) for pid in self._pids)
            # That takes the kernel a tenth of a second for each GB, and more: a tenth of a processor is spent on it.
            self._count_at = now + 10 * (time.monotonic() - now)
            return used if used > self._max_bytes else None
        return None


def read_memory(pid: int, file: str, names: tuple[bytes, ...]) -> int:
    """The sum of these figures in bytes; 0 for a process that has ended."""
    total = 0
    with suppress(OSError), open(f"/proc/{pid}/{file}", "rb") as lines:  # a process may have any bytes for its name
        for line in lines:
            name, _, rest = line.partition(b":")
            if name in names:
                total += 1024 * int(rest.split()[0])
    return total
