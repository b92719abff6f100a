"""Start problems: the system has no thread, no process or no descriptor for a job.

Such a job is given back, and its attempt does not count. The worker then runs no more jobs of that kind than run
already, since it would else claim and give back the same jobs without end. After a pause it tries one more. If that one
cannot begin either, the next pause is twice as long. If it begins, twice as many are tried the next time, until the
problem is over.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from servicekit.jobs.backoff import Backoff
from servicekit.jobs.options import RunnerKind

_FIRST_SECONDS: Final = 0.25  # other jobs mostly end, and free what was missing, in less time
_LONGEST_SECONDS: Final = 10.0  # jobs must go on soon after the cause is removed, by a person mostly
_MOST_TRIED: Final = 64  # if so many begin at once, the system has what it needs again
_NAMES: Final[Mapping[RunnerKind, str]] = {
    RunnerKind.COROUTINE: "Coroutines",
    RunnerKind.THREAD: "Functions in threads",
    RunnerKind.PROCESS: "Functions in processes",
    RunnerKind.COMMAND: "Commands",
    RunnerKind.RAY: "Functions on a cluster",
}

_log = logging.getLogger("servicekit.engine")


class StartProblems:
    """The kinds of jobs that cannot begin in this process. `wake` is called when one of them may be tried again."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._found: dict[RunnerKind, _StartProblem] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there are no known problems."""
        return not self._found

    def list_most(self) -> Iterable[tuple[RunnerKind, int]]:
        """The kinds with a problem, each with how many jobs of it may run at once."""
        return ((kind, problem.most) for kind, problem in self._found.items())

    def list_reasons(self) -> dict[RunnerKind, str]:
        """Why the last job of each kind with a problem could not begin."""
        return {kind: problem.reason for kind, problem in self._found.items()}

    def find_problem(self) -> str | None:
        """The problems as a text for people, or `None`."""
        return " ".join(_describe(kind, found.reason) for kind, found in self._found.items()) or None

    def note_problem(self, kind: RunnerKind, reason: str, running: int, *, is_late: bool) -> None:
        """A job of this kind could not begin, while `running` others run. `is_late`: it was counted as begun before."""
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
        """All jobs that can be claimed now were claimed, except those of the kinds `excluding`."""
        for kind in self._found.keys() - excluding:
            self._found[kind].is_asked = True

    def note_begun(self, kind: RunnerKind) -> None:
        problem = self._found.get(kind)
        if problem is not None:
            problem.begun += 1

    def clear(self) -> None:
        """Forget all problems: the event loop or the process is another one."""
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
    """The problem of one kind of jobs. `on_pause_over` is called after each pause."""

    def __init__(self, on_pause_over: Callable[[], None]) -> None:
        self.reason = ""
        self.most = 0
        self.is_asked = False
        """Whether the worker has claimed all jobs of the kind that it could since the last pause."""
        self.is_tried = False
        """Whether there was any such job."""
        self.begun = 0
        """How many of these jobs have begun."""
        self._on_pause_over = on_pause_over
        self._step = 0
        self._pauses = Backoff(_FIRST_SECONDS, _LONGEST_SECONDS)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether the problem counts as over: enough jobs have begun, or none was there to be tried."""
        if self._step == 0 or not (self.is_asked or self.is_tried):
            return False
        return not self.is_tried or (self.begun > 0 and self._step >= _MOST_TRIED)

    def hold(self, reason: str, running: int) -> None:
        """Let no more jobs run than run now."""
        self.reason = reason
        self.most = running
        if self._step > 0 or self._timer is None:  # else the pause runs already: jobs often fail to begin in groups
            self._step = 0
            if self.begun > 0:
                self._pauses.reset()
            self._start_timer(self._pauses.next_seconds())

    def open(self) -> None:
        """Let more jobs run, if some of the last ones have begun."""
        self._start_timer(_FIRST_SECONDS)
        if self._step == 0 or self.begun > 0:  # else the last ones are still on their way
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
