"""What keeps jobs from beginning here, and how much is tried meanwhile.

A job whose work could not begin, for want of a thread, a process or a descriptor, goes back, and costs nothing. The
worker then claims no more of that kind than has begun already, so that it does not spin. After a pause one more is
tried. If that cannot begin either, the next pause is twice as long; if it does, twice as many are tried the next time,
until nothing comes back any more.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from servicekit.jobs.backoff import Backoff
from servicekit.jobs.options import RunnerKind

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 10.0
_MOST_TRIED: Final = 64  # so many that began one after the other, and there is nothing to be careful about any more
_NAMES: Final[Mapping[RunnerKind, str]] = {
    RunnerKind.COROUTINE: "Coroutines",
    RunnerKind.THREAD: "Functions in threads",
    RunnerKind.PROCESS: "Functions in processes",
    RunnerKind.COMMAND: "Commands",
}

_log = logging.getLogger("servicekit.engine")


class StartProblems:
    """The kinds of work that cannot begin in this process; `wake` is called when one of them is to be tried again."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._found: dict[RunnerKind, _StartProblem] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing hinders anything, as far as is known."""
        return not self._found

    def list_most(self) -> Iterable[tuple[RunnerKind, int]]:
        """The kinds that are hindered, each with how many may run at once."""
        return ((kind, problem.most) for kind, problem in self._found.items())

    def find_problem(self) -> str | None:
        """What is wrong, in words, or `None`."""
        return " ".join(_describe(kind, found.reason) for kind, found in self._found.items()) or None

    def note_problem(self, kind: RunnerKind, reason: str, running: int, *, is_late: bool) -> None:
        """One of the kind could not begin, beside so many that have; though it was said that it had, if `is_late`."""
        problem = self._found.get(kind)
        if problem is None:
            _log.warning("%s", _describe(kind, reason))
            problem = self._found[kind] = _StartProblem(lambda: self._try_more(kind))
        problem.begun -= is_late
        problem.hold(reason, running)

    def note_claimed(self, kind: RunnerKind) -> None:
        problem = self._found.get(kind)
        if problem is not None:
            problem.is_tried = True

    def note_all_claimed(self, excluding: Collection[RunnerKind]) -> None:
        """All that can be claimed now of the other kinds is claimed."""
        for kind in self._found.keys() - excluding:
            self._found[kind].is_asked = True

    def note_begun(self, kind: RunnerKind) -> None:
        problem = self._found.get(kind)
        if problem is not None:
            problem.begun += 1

    def clear(self) -> None:
        """Know of nothing any more: the event loop is another one, or the process."""
        for problem in self._found.values():
            problem.stop()
        self._found.clear()

    def _try_more(self, kind: RunnerKind) -> None:
        problem = self._found[kind]
        if problem.is_over:
            del self._found[kind]
            _log.info("%s begin again: nothing hinders them any more, as far as was tried.", _NAMES[kind])
        else:
            problem.open()
        self._wake()


class _StartProblem:
    """What hinders one kind of work; `on_pause_over` is called after each pause."""

    def __init__(self, on_pause_over: Callable[[], None]) -> None:
        self.reason = ""
        self.most = 0
        self.is_asked = False
        """Whether all that could be claimed since the last pause was."""
        self.is_tried = False
        """Whether that was anything."""
        self.begun = 0
        """How many of those have begun."""
        self._on_pause_over = on_pause_over
        self._step = 0
        self._pauses = Backoff(_FIRST_SECONDS, _LONGEST_SECONDS)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether what was tried has begun, or nothing was there to be tried."""
        if self._step == 0 or not (self.is_asked or self.is_tried):
            return False
        return not self.is_tried or (self.begun > 0 and self._step >= _MOST_TRIED)

    def hold(self, reason: str, running: int) -> None:
        """Let no more run than do."""
        self.reason = reason
        self.most = running
        if self._step > 0 or self._timer is None:  # else it is known already
            self._step = 0
            if self.begun > 0:
                self._pauses.reset()
            self._start_timer(self._pauses.next_seconds())

    def open(self) -> None:
        """Let more run than did, if those that were let run before have begun."""
        self._start_timer(_FIRST_SECONDS)
        if self._step == 0 or self.begun > 0:  # else they still try
            self._step = max(1, 2 * self._step)
            self.most += self._step
            self.is_asked, self.is_tried, self.begun = False, False, 0

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self, seconds: float) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_pause_over)


def _describe(kind: RunnerKind, reason: str) -> str:
    return f"{_NAMES[kind]} cannot begin in this process: {reason}. Such jobs wait, and are tried again."
