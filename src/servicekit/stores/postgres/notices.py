"""Notifications: what the commits of a process mean for others."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from servicekit.stores.durable.news import Answer
from servicekit.stores.durable.operations import Rank

# A notification has at most 8,000 bytes. Who is not told of a job finds it in the log.
_MOST_JOBS: Final = 200

_UNWANTED: Final = {Rank.CANCEL, Rank.DELETE}
# What neither makes a job ready nor lets go of a slot.
_QUIET: Final = {Rank.PROCESS, Rank.REPORT, Rank.CLAIM, Rank.LEAVE, Rank.PRUNE}


class Notice(NamedTuple):
    """What has been committed."""

    is_change: bool = False
    """Whether any job has changed."""
    is_ready: bool = False
    """Whether there may be something to claim, or a free slot."""
    has_lines: bool = False
    """Whether there may be new lines in some log."""
    is_new: bool = False
    """Whether the process has just begun to listen."""
    unwanted: tuple[str, ...] = ()
    """Jobs that were asked to stop, or deleted."""

    def joined(self, other: "Notice") -> "Notice":
        """Both in one."""
        return Notice(
            self.is_change or other.is_change,
            self.is_ready or other.is_ready,
            self.has_lines or other.has_lines,
            self.is_new or other.is_new,
            self.unwanted + other.unwanted,
        )

    def write(self, number: int) -> str:
        """The notification of the process with this number."""
        flags = "".join(str(int(flag)) for flag in self[:-1])
        return f"{number} {flags} {','.join(self.unwanted[:_MOST_JOBS])}"

    @classmethod
    def read(cls, text: str) -> tuple[int, "Notice"]:
        """Who has sent it, and what it says. `ValueError` if another program has sent it."""
        number, flags, jobs = text.split(" ")
        is_change, is_ready, has_lines, is_new = (flag == "1" for flag in flags)
        return int(number), cls(is_change, is_ready, has_lines, is_new, tuple(filter(None, jobs.split(","))))


NOTHING: Final = Notice()


def notice_of(answers: Sequence[Answer], *, is_changed: bool, is_ready: bool) -> Notice:
    """What a commit with these answers means for others."""
    calls = [call for call, result in answers if not isinstance(result, Exception)]
    ranks = {call.operation.rank for call in calls}
    return Notice(
        is_changed,
        is_ready or not ranks <= _QUIET,
        Rank.REPORT in ranks,
        unwanted=tuple(call.argument.id for call in calls if call.operation.rank in _UNWANTED),
    )
