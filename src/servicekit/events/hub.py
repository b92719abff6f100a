"""The hub: from every change of a job to all who watch it."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from servicekit.events.mailbox import Bell, Mailbox
from servicekit.jobs.events import JobEvent

Listener = Callable[[JobEvent], None]
"""Told of every event of every job. It must be quick; what it raises is logged, and changes nothing."""

_log = logging.getLogger("servicekit.events")


class EventHub:
    """Passes events to the mailboxes of their job, and to the listeners."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, dict[Mailbox, None]] = {}
        self._listeners: list[Listener] = []
        self._bells: dict[Bell, None] = {}
        self._log_readers: dict[str, dict[Callable[[], None], None]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no event would reach anybody. May be asked from any thread."""
        return not (self._listeners or self._mailboxes)

    @property
    def has_readers(self) -> bool:
        """Whether somebody reads the events of some job, or of all. May be asked from any thread."""
        return bool(self._mailboxes or self._bells or self._log_readers)

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` of every event of every job from now on."""
        self._listeners.append(listener)

    def is_watched(self, job_id: str) -> bool:
        """Whether an event about this job would reach anybody."""
        return bool(self._listeners) or job_id in self._mailboxes

    def publish(self, event: JobEvent) -> None:
        """Pass the event on, without waiting for anyone."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # it may be the user's code, and the job's life goes on
                _log.exception("A listener failed on an event of job %s", event.job_id)
        self.relay(event)

    @property
    def followed(self) -> Collection[str]:
        """The jobs that somebody reads the events of, as it is now."""
        return self._mailboxes.keys()

    def relay(self, event: JobEvent) -> None:
        """Pass on an event of another process: its listeners count it there."""
        for mailbox in self._mailboxes.get(event.job_id, ()):
            mailbox.put(event)

    def notify(self) -> None:
        """Wake those who follow all jobs: they look for themselves at what has happened."""
        for bell in self._bells:
            bell.ring()

    def notify_log(self, job_id: str | None) -> None:
        """Tell those who follow the log of this job, or all who follow any: they look for themselves."""
        followed = self._log_readers.values() if job_id is None else [self._log_readers.get(job_id, {})]
        for readers in followed:
            for ring in readers:
                ring()

    @contextmanager
    def subscribe_log(self, job_id: str, ring: Callable[[], None]) -> Iterator[None]:
        """Call `ring` whenever the job may have new lines in its log. It must be quick, and subscribe to nothing."""
        readers = self._log_readers.setdefault(job_id, {})
        readers[ring] = None
        try:
            yield
        finally:
            del readers[ring]
            if not readers:
                del self._log_readers[job_id]

    @contextmanager
    def subscribe_all(self) -> Iterator[Bell]:
        """A bell that rings whenever something has happened to any job."""
        bell = Bell()
        self._bells[bell] = None
        try:
            yield bell
        finally:
            del self._bells[bell]

    def subscribe(self, job_id: str, mailbox: Mailbox) -> None:
        """Put every event of the job into the mailbox from now on, until `unsubscribe`."""
        self._mailboxes.setdefault(job_id, {})[mailbox] = None

    def unsubscribe(self, job_id: str, mailbox: Mailbox) -> None:
        """Put no more into the mailbox."""
        readers = self._mailboxes[job_id]
        del readers[mailbox]
        if not readers:
            del self._mailboxes[job_id]
