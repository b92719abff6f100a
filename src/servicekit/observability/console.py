"""A console for servicekit's own lines if the application has not configured logging.

Warnings and errors are always seen, since Python prints them if no handler takes them. Lines of level INFO need a
handler. A library must not add handlers of its own; but uvicorn's console is there to show what the service does, so
these lines are given to its handlers.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_OURS: Final = logging.getLogger("servicekit")
_UVICORN: Final = logging.getLogger("uvicorn.error")


class _Stopgap(logging.Handler):
    """Gives records to other handlers, as long as neither the root logger nor servicekit's has handlers of its own.

    It looks at each record, since the application can configure logging at any time.
    """

    def __init__(self, handlers: list[logging.Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def emit(self, record: logging.LogRecord) -> None:
        stopgaps = _list_stopgaps()
        is_alone = not logging.getLogger().handlers and len(_OURS.handlers) == len(stopgaps)
        if is_alone and stopgaps[:1] == [self]:  # only the first: see `_list_stopgaps`
            for handler in self._handlers:
                if record.levelno >= handler.level:
                    handler.handle(record)


@contextmanager
def show_on_uvicorn() -> Iterator[None]:
    """Show servicekit's lines among uvicorn's, at uvicorn's level, if nothing else would show them."""
    with show_by(_UVICORN.handlers or logging.getLogger("uvicorn").handlers, _UVICORN.getEffectiveLevel()):
        yield


@contextmanager
def show_by(handlers: list[logging.Handler], level: int = logging.INFO) -> Iterator[None]:
    """Show servicekit's lines by these handlers, unless the application has configured logging for them."""
    is_configured = len(_OURS.handlers) > len(_list_stopgaps()) or (_OURS.level and not _list_stopgaps())
    if not handlers or is_configured or logging.getLogger().handlers:
        yield
        return
    stopgap = _Stopgap(handlers)
    _OURS.addHandler(stopgap)
    _OURS.setLevel(level)
    try:
        yield
    finally:
        _OURS.removeHandler(stopgap)
        if not _list_stopgaps():
            _OURS.setLevel(logging.NOTSET)


def _list_stopgaps() -> list[logging.Handler]:
    """One for each running service of the process. Only the first one shows lines, since all would else come twice."""
    return [handler for handler in _OURS.handlers if isinstance(handler, _Stopgap)]
