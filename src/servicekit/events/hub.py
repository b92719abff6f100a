"""The hub: it passes each event of a job to the job's readers and to all listeners."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from servicekit.events.mailbox import ANEW, Bell, Mailbox
from servicekit.jobs.events import JobEvent

Listener = Callable[[JobEvent], None]
"""Called with every event of every job, on the event loop: it must be quick. Its errors are logged, and do no harm."""

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
        """Whether no event would reach a reader or a listener. It may be asked from any thread."""
        return not (self._listeners or self._mailboxes)

    @property
    def has_readers(self) -> bool:
        """Whether there are readers, of one job or of all jobs. It may be asked from any thread."""
        return bool(self._mailboxes or self._bells or self._log_readers)

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every event of every job from now on."""
        self._listeners.append(listener)

    def is_watched(self, job_id: str) -> bool:
        """Whether an event of this job would reach a reader or a listener. If not, nobody needs to make one."""
        return bool(self._listeners) or job_id in self._mailboxes

    def publish(self, event: JobEvent) -> None:
        """Pass the event on to listeners and readers, without waiting for any of them."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # a listener can be the user's code, and its error must not stop the job
                _log.exception("A listener failed on an event of job %s", event.job_id)
        self.relay(event)

    @property
    def followed(self) -> Collection[str]:
        """The jobs that have readers: a view, which changes with them."""
        return self._mailboxes.keys()

    def relay(self, event: JobEvent) -> None:
        """Pass on an event of another process, to readers only: listeners are told of it in that process."""
        for mailbox in self._mailboxes.get(event.job_id, ()):
            mailbox.put(event)

    def begin_anew(self) -> None:
        """Tell the readers that what they had until now may never have been."""
        for readers in self._mailboxes.values():
            for mailbox in readers:
                mailbox.put(ANEW)

    def notify(self) -> None:
        """Wake the readers of all jobs. They read the changes from the store."""
        for bell in self._bells:
            bell.ring()

    def notify_log(self, job_id: str | None) -> None:
        """Tell the readers of this job's log, or of every log if it is `None`. They read the lines from the store."""
        followed = self._log_readers.values() if job_id is None else [self._log_readers.get(job_id, {})]
        for readers in followed:
            for ring in readers:
                ring()

    @contextmanager
    def subscribe_log(self, job_id: str, ring: Callable[[], None]) -> Iterator[None]:
        """Call `ring` whenever the job's log may have new lines. It must be quick.

        It must not subscribe or unsubscribe, since the hub is walking over its readers.
        """
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
        """A bell that rings whenever any job has changed."""
        bell = Bell()
        self._bells[bell] = None
        try:
            yield bell
        finally:
            del self._bells[bell]

    def subscribe(self, job_id: str, mailbox: Mailbox) -> None:
        """Put every event of the job into the mailbox from now on, until `unsubscribe`.

        It is no context manager, as the others are: that would be an object more for each of ten thousand readers.
        """
        self._mailboxes.setdefault(job_id, {})[mailbox] = None

    def unsubscribe(self, job_id: str, mailbox: Mailbox) -> None:
        """Put no more events into the mailbox."""
        readers = self._mailboxes[job_id]
        del readers[mailbox]
        if not readers:
            del self._mailboxes[job_id]
