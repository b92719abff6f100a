"""Outcomes: how an attempt ended. Errors become texts that every store can hold."""

import asyncio
import re
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Final, NamedTuple

from ulid import ULID

from servicekit.errors import JobCanceled, RetryAfter
from servicekit.jobs.references import name_in_full
from servicekit.jobs.sizes import estimate_bytes
from servicekit.jobs.status import EndedBy, Transition
from servicekit.jobs.terminal import strip_escapes

MAX_ERROR_CHARACTERS: Final = 1_000  # it stands in lists, where a page has many jobs
MAX_TRACEBACK_CHARACTERS: Final = 8_000  # it stands in single records and events only
_MOST_STRIPPED_CHARACTERS: Final = 100_000  # see `_fit`
# Python formats causes and groups in full, and a retry loop or a `TaskGroup` can make thousands. It would hold up the
# event loop, so that larger ones are not formatted.
_MOST_CAUSES: Final = 50
_MOST_IN_A_GROUP: Final = 1_000
# The errors of a large group are mostly of a few kinds. These are enough to see the kinds, and fit into one error text.
_MOST_LEAVES: Final = 100
_MOST_LEAVES_TOLD: Final = 5
_MOST_LEAF_CHARACTERS: Final = 150

_ULID_TEXT = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")


class Outcome(NamedTuple):
    """How one attempt ended, and so what is to become of its job: see `servicekit.jobs.endings`."""

    transition: Transition
    """`RETRY` asks for another attempt at `retry_at`. `RELEASE` gives the job back: because its process stops or has
    died, as `ended_by` says, or else because nothing had begun, for the reason `error`."""
    result: object = None
    result_bytes: int = 0
    artifact_id: str | None = None
    error: str | None = None
    error_traceback: str | None = None
    ended_by: EndedBy = EndedBy.TARGET
    error_types: tuple[tuple[str, ...], ...] = ()
    """For `Retry` to compare. One entry for the error, or for each error in a group: the full names of its class, of
    its base classes, and of those of the groups around it. A `RetryAfter` has no entry."""
    retry_after_seconds: float | None = None
    """The wait that the target asked for by `RetryAfter`; the longest if a group has several."""
    retry_at: datetime | None = None
    is_waiting: bool = False
    """Of a `RELEASE` of what had not begun: whether the job waits for what others hold, and nothing is wrong."""

    @property
    def is_lost(self) -> bool:
        """Whether the work went with its process, in order or not."""
        return self.transition is Transition.RELEASE and self.ended_by is not EndedBy.TARGET

    @property
    def is_spared(self) -> bool:
        """Of a `RELEASE`: whether the attempt costs the job nothing."""
        return self.ended_by is not EndedBy.CRASH

    def to_be_retried(self, at: datetime) -> "Outcome":
        """The failure, with another attempt at that time."""
        return self._replace(transition=Transition.RETRY, retry_at=at)


CANCELED: Final = Outcome(Transition.CANCEL, ended_by=EndedBy.CANCEL)
STOPPED: Final = Outcome(Transition.CANCEL, ended_by=EndedBy.STOP)
_COMPLETED_WITH_NONE: Final = Outcome(Transition.COMPLETE)


def completion(result: object) -> Outcome:
    """The outcome of a target that returned `result`."""
    if result is None:
        return _COMPLETED_WITH_NONE
    return Outcome(Transition.COMPLETE, result, estimate_bytes(result), artifact_id_of(result))


def failure(error: BaseException, ended_by: EndedBy = EndedBy.TARGET) -> Outcome:
    """The outcome of an attempt whose target raised `error`, or that was ended for the reason `error`."""
    leaves = list(_find_leaves(error))
    waits = [leaf.wait_seconds for leaf in leaves if leaf.wait_seconds is not None]
    return Outcome(
        Transition.FAIL,
        error=describe_error(error),
        error_traceback=describe_traceback(error) if ended_by is EndedBy.TARGET else None,
        ended_by=ended_by,
        error_types=tuple({leaf.types: None for leaf in leaves if leaf.wait_seconds is None}),
        retry_after_seconds=max(waits, default=None),
    )


def not_begun(reason: str, *, is_waiting: bool = False) -> Outcome:
    """The outcome of an attempt whose target could not begin. Nothing has failed, and the job is given back.

    `is_waiting`: there was no room for it on the cluster.
    """
    return Outcome(Transition.RELEASE, error=clip(reason, MAX_ERROR_CHARACTERS), is_waiting=is_waiting)


def is_cancellation(error: BaseException) -> bool:
    """Whether the error is a cancellation and nothing else. A group is one if all its errors are."""
    try:
        if isinstance(error, BaseExceptionGroup):
            return error.split((asyncio.CancelledError, JobCanceled))[1] is None
        return isinstance(error, asyncio.CancelledError | JobCanceled)
    except BaseException:  # the user's class can replace `split`, or what `isinstance` calls
        return False


class _Leaf(NamedTuple):
    """An error that is no group, with the names by which `Retry` knows it."""

    error: BaseException
    types: tuple[str, ...]

    @property
    def wait_seconds(self) -> float | None:
        """The wait in seconds that the error asks for; `None` if it is no `RetryAfter`."""
        if not issubclass(type(self.error), RetryAfter):  # `isinstance` would ask the error's own `__class__`
            return None
        seconds = vars(self.error).get("seconds")
        return seconds if type(seconds) is float else None


def _find_leaves(error: BaseException) -> Iterator[_Leaf]:
    """All errors of a group and of the groups within it. An error that is no group gives itself."""
    seen: set[int] = set()  # one group can be a part of many others, and would be walked as often
    waiting: list[tuple[BaseException, tuple[str, ...]]] = [(error, ())]
    while waiting:
        each, around = waiting.pop()
        types = tuple(dict.fromkeys((*map(name_in_full, type.mro(type(each))), *around)))
        parts = _list_parts(each)
        if not parts:
            yield _Leaf(each, types)
        waiting += [(part, types) for part in reversed(parts) if id(part) not in seen]
        seen.update(map(id, parts))


def _list_parts(error: BaseException) -> Sequence[BaseException]:
    """The errors directly in a group, even if its class replaces `exceptions`; none for an error that is no group."""
    if not issubclass(type(error), BaseExceptionGroup):
        return ()
    parts: tuple[BaseException, ...] = BaseExceptionGroup.__dict__["exceptions"].__get__(error)
    return parts


def describe_error(error: BaseException) -> str:
    """The error's class and text, as `ValueError: Invalid input`: plain, bounded, and encodable as UTF-8.

    It never raises, whatever the error's own methods do. A group is followed by its errors:
    `ExceptionGroup: two failed (2 sub-exceptions): ValueError: no; OSError: no`.
    """
    text = _describe(error)
    if _list_parts(error):
        leaves = (leaf.error for leaf in islice(_find_leaves(error), _MOST_LEAVES))
        told = [*dict.fromkeys(clip(_describe(leaf), _MOST_LEAF_CHARACTERS) for leaf in leaves)]
        more = ["..."] if len(told) > _MOST_LEAVES_TOLD else []
        text = f"{text}: {'; '.join([*told[:_MOST_LEAVES_TOLD], *more])}"
    return _fit(text, MAX_ERROR_CHARACTERS)


def _describe(error: BaseException) -> str:
    name = type.__dict__["__name__"].__get__(type(error))  # from `type`, since a metaclass can replace it
    try:
        text = str.__str__(str(error))  # `str` of an error can be an instance of a subclass, with code of its own
    except BaseException:  # it is the user's code, which can raise anything
        text = "(its text cannot be shown: str() of it raised)"
    return f"{name}: {text}" if text else str(name)


def describe_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames of servicekit, bounded by leaving out its middle."""
    start = error.__traceback__
    while start is not None and start.tb_next is not None and _is_ours(start):
        start = start.tb_next
    try:
        if _is_group_large(error):
            lines = ["Traceback (most recent call last):\n", *traceback.format_tb(start), f"{describe_error(error)}\n"]
        else:
            lines = traceback.format_exception(type(error), error, start, chain=_is_chain_short(error))
        text = str.__str__("".join(lines))
    except BaseException:  # formatting calls the user's `__str__` and `__repr__`, which can raise anything
        text = f"Traceback (most recent call last):\n  (it cannot be shown)\n{describe_error(error)}\n"
    return _fit(text, MAX_TRACEBACK_CHARACTERS)


def _is_chain_short(error: BaseException) -> bool:
    """Whether an error has at most `_MOST_CAUSES` causes."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_group_large(error: BaseException) -> bool:
    """Whether a group has more than `_MOST_IN_A_GROUP` errors. An error counts as often as it is formatted."""
    waiting = [error]
    for _ in range(_MOST_IN_A_GROUP):
        if not waiting:
            return False
        waiting += _list_parts(waiting.pop())
    return True


def _is_ours(frame: TracebackType) -> bool:
    """Whether the frame stands between the engine and a target. The targets of our suites do not."""
    name = str(frame.tb_frame.f_globals.get("__name__"))
    return name.startswith("servicekit.") and not name.startswith("servicekit.testing.")


def _fit(text: str, limit: int) -> str:
    """The text bounded, and without commands to a terminal."""
    if len(text) <= _MOST_STRIPPED_CHARACTERS:
        return clip(strip_escapes(text), limit)
    # Cut first, though that can cut a command in two: to search megabytes would hold up the event loop.
    return strip_escapes(clip(text, limit))


def clip(text: str, limit: int) -> str:
    """The beginning and the end of the text, together about `limit` characters, without what UTF-8 cannot encode.

    A text with surrogates or NULs can have up to twice as many, since these are spelled out.
    """
    if len(text) > limit:
        mark = f"\n... ({len(text):,} characters in all) ...\n"
        half = (limit - len(mark)) // 2
        text = f"{text[:half]}{mark}{text[-half:]}"
    # A lone surrogate would break every JSON list that has the job, and databases cut texts off at a NUL.
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")[: 2 * limit]


def artifact_id_of(result: object) -> str | None:
    """The result as text if it is a ULID."""
    if type(result) is str:
        return result if _ULID_TEXT.fullmatch(result) else None
    return str(result) if type(result) is ULID else None


CUT_OFF: Final = failure(RuntimeError("The job's task was ended from outside."), EndedBy.CRASH)
