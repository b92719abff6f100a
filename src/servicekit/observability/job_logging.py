"""The service's logging about its jobs, on the logger `servicekit.jobs`.

    INFO      a job starts, ends well, is canceled, deleted, or given back when its process stops
    WARNING   an attempt has failed, and another will follow
    ERROR     a job has failed

Warnings and errors are seen without any configuration: if no handler takes them, Python prints them on standard error.
A record has its traceback as text (`exc_text`) and no `exc_info`, since the error can come from another process.
"""

import logging
from datetime import timedelta
from typing import Final

from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim

_log: Final = logging.getLogger("servicekit.jobs")
_VERBS: Final = {Transition.COMPLETE: "completed", Transition.CANCEL: "was canceled", Transition.FAIL: "failed"}


class JobLogging:
    """Logs what happens to the jobs of one scheduler; nothing if `is_quiet`."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._is_quiet = is_quiet

    @property
    def tells_all(self) -> bool:
        """Whether lines of level INFO are logged. Callers ask first, since one line costs as much as a small job."""
        return not self._is_quiet and _log.isEnabledFor(logging.INFO)

    def started(self, claim: Claim) -> None:
        self._say(logging.INFO, claim, "started")

    def ended(self, claim: Claim, written: Transition, outcome: Outcome, seconds: float) -> None:
        """The job has ended; `written` says how, and the outcome why."""
        level = logging.ERROR if written is Transition.FAIL else logging.INFO
        cause = outcome if outcome.transition is not Transition.RELEASE else None
        self._say(level, claim, f"{_VERBS[written]} after {_spell(seconds)}", cause, duration_ms=seconds * 1e3)

    def put_off(self, claim: Claim, outcome: Outcome, wait: timedelta) -> None:
        """The attempt has failed, and another will follow."""
        text = f"failed, and is tried again in {_spell(wait.total_seconds())}"
        self._say(logging.WARNING, claim, text, outcome)

    def stopped(self, claim: Claim, written: Transition) -> None:
        """The attempt was stopped with its process; `written` says what that means for the job."""
        what = "is given back" if written is Transition.RELEASE else "is canceled"
        self._say(logging.INFO, claim, f"was stopped with its process, and {what}")

    def left(self, claim: Claim) -> None:
        """The attempt did not stop, and its process stops without waiting for it any longer."""
        self._say(logging.INFO, claim, "does not listen, and is left to itself while its process stops")

    def unwritten(self, claim: Claim) -> None:
        """The attempt has ended, but its process stops before that could be written."""
        text = "has ended, and its process stops before that could be written: it counts as lost with its process"
        self._say(logging.WARNING, claim, text)

    def lost(self, record: JobRecord) -> None:
        """The job has failed, but not in an attempt of this process: a process has died, or the job waited too long."""
        if not self._is_quiet:
            fields = {"job_id": record.id, "job_name": record.name, "attempt": record.attempt, "error": record.error}
            _write(logging.ERROR, f"Job {record.name} ({record.id}) failed: {_on_one_line(record.error)}", fields)

    def deleted(self, job_id: str) -> None:
        if self.tells_all:
            _write(logging.INFO, f"Job {job_id} was deleted", {"job_id": job_id})

    def _say(self, level: int, claim: Claim, text: str, outcome: Outcome | None = None, **fields: object) -> None:
        if self._is_quiet or not _log.isEnabledFor(level):
            return
        submission = claim.submission
        facts = {"job_id": submission.id, "job_name": submission.name, "attempt": claim.attempt, **fields}
        text = f"Job {submission.name} ({submission.id}) {text}"
        if claim.attempt > 1:
            text += f" (attempt {claim.attempt})"
        if outcome is not None and outcome.error is not None:
            facts["error"] = outcome.error
            text += f": {_on_one_line(outcome.error)}"
        _write(level, text, facts, outcome and outcome.error_traceback)


def _write(level: int, text: str, fields: dict[str, object], error_traceback: str | None = None) -> None:
    if _log.isEnabledFor(level):
        # Made by hand, since the methods of a logger take no text as the traceback.
        record = _log.makeRecord(_log.name, level, __file__, 0, text, (), None, extra=fields)
        record.exc_text = error_traceback and error_traceback.rstrip("\n")
        _log.handle(record)


def _spell(seconds: float) -> str:
    return f"{max(0.0, seconds):.3f} s" if seconds < 10 else f"{seconds:,.0f} s"


def _on_one_line(text: str | None) -> str:
    """A text without line breaks, since a job could else forge a line of the log."""
    return " ".join((text or "").split())
