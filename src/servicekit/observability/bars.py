"""`report_tqdm()`: progress bars of tqdm, also those of libraries, report as the job's progress."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import cache, wraps
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, Protocol, TypeVar

from servicekit.jobs.current import RunningJob, current

P = ParamSpec("P")
R = TypeVar("R")

_KEY = "_servicekit_report"
_teaching = threading.Lock()


class _Bar(Protocol):
    """The members of a `tqdm` that are used here. A disabled bar, as without a terminal, may have no `desc`."""

    n: float
    total: float | None
    disable: bool


class _Report:
    """Reports the first of a job's open bars: of nested ones, the outermost."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        # By id, for two reasons: bars compare by their position on the screen, and this list must not keep them alive.
        self._open: list[int] = []
        self._told: tuple[object, ...] = ()

    def add(self, bar: _Bar) -> None:
        self._open.append(id(bar))
        self.tell(bar)

    def tell(self, bar: _Bar) -> None:
        """Report the bar's state, unless it was reported before.

        One update can call this twice, since tqdm also draws the bar. And a thread of tqdm draws bars that nobody
        updates, which must not count as a sign of life for `silence_timeout`.
        """
        message = getattr(bar, "desc", None) or None
        state = (bar.n, bar.total, message)
        if self._open[:1] == [id(bar)] and state != self._told:
            self._told = state
            with suppress(TypeError, ValueError):  # a bar can be given anything as its numbers
                self._job.progress(bar.n, bar.total, message and message.removesuffix(": "))

    def remove(self, bar: _Bar) -> None:
        self.tell(bar)
        with suppress(ValueError):  # a bar can be closed twice
            self._open.remove(id(bar))


_report: ContextVar[_Report | None] = ContextVar("servicekit_bar_report", default=None)


class report_tqdm:  # noqa: N801
    """Let tqdm bars that are made within it report as the job's progress. Of nested bars, the outermost one reports.

        with report_tqdm():
            model = AutoModel.from_pretrained(name)

    It is also a decorator for plain and `async` functions. Bars print what they printed before. A bar that prints
    nothing, as many do without a terminal, reports too. Outside of a job it does nothing. `ModuleNotFoundError` if tqdm
    is not installed.
    """

    _token: Token[_Report | None]

    def __enter__(self) -> None:
        with _teaching:
            _teach_bars()
        job = current.get(None)
        self._token = _report.set(None if job is None else _Report(job))

    def __exit__(self, *error: object) -> None:
        _report.reset(self._token)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def reporting(*args: P.args, **kwargs: P.kwargs) -> R:
            with report_tqdm():
                return function(*args, **kwargs)

        @wraps(function)
        async def reporting_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with report_tqdm():
                return await function(*args, **kwargs)  # type: ignore[misc]

        return reporting_async if iscoroutinefunction(function) else reporting  # type: ignore[return-value]


@cache
def _teach_bars() -> None:
    """Replace methods of tqdm's class, so that bars report. This is done once in a process, and never undone, since
    other code can have replaced the methods again on top of these.

    A bar keeps the report of the context in which it was made, so that it can be updated from any thread.
    """
    bar_class = import_module("tqdm.std").tqdm
    init, iterate, update, close = bar_class.__init__, bar_class.__iter__, bar_class.update, bar_class.close
    refresh = bar_class.refresh

    @wraps(init)
    def init_and_report(bar: _Bar, *args: object, **kwargs: object) -> None:
        init(bar, *args, **kwargs)
        _made(bar)

    @wraps(iterate)
    def iterate_and_report(bar: _Bar) -> Iterator[object]:
        is_silent = bar.disable and hasattr(bar, _KEY)
        return _count(bar, iterate(bar)) if is_silent else iterate(bar)

    @wraps(update)
    def update_and_report(bar: _Bar, n: float = 1) -> object:
        was_shown = update(bar, n)
        _updated(bar, n)
        return was_shown

    @wraps(refresh)
    def refresh_and_report(bar: _Bar, *args: object, **kwargs: object) -> object:
        was_shown = refresh(bar, *args, **kwargs)
        _refreshed(bar)
        return was_shown

    @wraps(close)
    def close_and_report(bar: _Bar) -> None:
        close(bar)
        _closed(bar)

    bar_class.__init__, bar_class.__iter__ = init_and_report, iterate_and_report
    bar_class.update, bar_class.close = update_and_report, close_and_report
    bar_class.refresh = refresh_and_report  # code that sets `bar.n` itself calls `refresh` and not `update`


def _made(bar: _Bar) -> None:
    report = _report.get()
    if report is not None:
        setattr(bar, _KEY, report)
        report.add(bar)


def _updated(bar: _Bar, n: float) -> None:
    report: _Report | None = getattr(bar, _KEY, None)
    if report is not None:
        if bar.disable:  # tqdm does not count the updates of a disabled bar
            bar.n += n
        report.tell(bar)


def _refreshed(bar: _Bar) -> None:
    report: _Report | None = getattr(bar, _KEY, None)
    if report is not None:
        report.tell(bar)


def _closed(bar: _Bar) -> None:
    report: _Report | None = getattr(bar, _KEY, None)
    if report is not None:
        report.remove(bar)


def _count(bar: Any, rows: Iterator[object]) -> Iterator[object]:
    """Iterate over a disabled bar, whose iterations tqdm does not count."""
    try:
        for row in rows:
            yield row
            bar.update()
    finally:
        bar.close()
