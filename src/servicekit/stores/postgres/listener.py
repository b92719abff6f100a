"""The listener's thread: signs of life, and what other processes have done.

    writer ── what a commit means for others ──▶ listener ── NOTIFY ──▶ listeners of other processes ──▶ event loop

A notification is sent by a statement of its own after the commit, since one within a transaction makes all commits of
the server wait for each other. It may come late, and it may be lost with a connection: it only says that it is time to
look. What there is to see comes from the log of events, from the last position that was seen (`feed.py`).

A listener to which no notifications come looks without being told to.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from typing import Final

from psycopg import Error

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.ports import EventRelay
from servicekit.stores.durable.news import LATE_SECONDS, News
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.channel import ANSWER_SECONDS, Channel
from servicekit.stores.postgres.connections import (
    connect,
    is_down,
    leads_to_server,
    set_up,
    translated_errors,
    was_ended,
)
from servicekit.stores.postgres.feed import PAGE, Mark, find_timeline, forget_positions, read_others
from servicekit.stores.postgres.notices import NOTHING, Notice
from servicekit.stores.postgres.pace import Pace
from servicekit.stores.postgres.registration import ProcessRegistration
from servicekit.stores.postgres.server_time import uptime
from servicekit.stores.postgres.session import Session

_PAUSE_SECONDS: Final = (0.05, 1.0)
# A few commits are told and seen at once. Where more come, many are told by one notification, and seen by one look.
_SHORTEST_SECONDS: Final = 0.005
_AT_ONCE: Final = 4
# How often a listener that is not told of commits looks for them.
_POLL_SECONDS: Final = 0.25
_IDLE_POLL_SECONDS: Final = 1.0
# Who is told of commits looks now and then all the same, whatever may go wrong with a notification.
_SELDOM_SECONDS: Final = 10.0
# What asks a job to stop, or makes one ready, a notification says itself. The rest can wait where nobody reads it.
_UNREAD_SECONDS: Final = 0.25
# How soon to look again for events whose writers had not ended. Most transactions take a few milliseconds.
_SETTLE_SECONDS: Final = (0.002, 0.05)
# After a change another one is likely.
_ACTIVE_SECONDS: Final = 2.0
# So many followed jobs are named in a query. If there are more, the events of all jobs are read.
_MOST_NAMED: Final = 1_000
_STOP_SECONDS: Final = 1.0
# Who has come is on the list of processes at the next look but one.
_COMPANY_SECONDS: Final = 10.0

_LIMITS: Final = {"statement_timeout": "2s", "lock_timeout": "2s"}

_log = logging.getLogger("servicekit.stores")


class Listener:
    """Renews the lease, tells other processes of commits, and reports what those have done."""

    def __init__(
        self,
        address: Address,
        report: Callable[[News], None],
        publisher: EventRelay,
        registration: ProcessRegistration,
    ) -> None:
        self._address = address
        self._report = report
        self._publisher = publisher
        self._registration = registration
        self.channel = Channel(address)
        self._failures = FailureLog(_log)
        self._mark = Mark()
        self._timeline: str | None = None
        self.seen = 0
        """Up to this position, all that others have done has been reported."""
        self._lock = threading.Lock()
        self._untold = NOTHING
        self._is_stopping = False
        self._is_direct = False
        """Whether there was nothing between this process and the server when it was reached last."""
        self._was_ended = False
        """Whether the server itself has ended the last connection."""
        self._is_told = False
        """Whether others have said that there is something to see."""
        self._early: set[tuple[int, str, int | None]] = set()
        """What has been reported although it comes after `seen`: by position, job and version."""
        self._sends, self._looks = (Pace(_SHORTEST_SECONDS, _AT_ONCE) for _ in range(2))
        self._active_at = self._looked_at = self._renewed_at = float("-inf")
        self._served_at = float("inf")
        """When the server has answered last."""
        self._has_company_until = 0.0
        self._settling = Backoff(*_SETTLE_SECONDS)
        self._settling_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="servicekit listener", daemon=True)

    @property
    def has_begun(self) -> bool:
        return self._thread.ident is not None

    def begin(self, position: int) -> None:
        """Start, and report what others do from this position on."""
        self.seen = self._mark.settled = position
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Tell other processes, if there is something to tell."""
        self._active_at = time.monotonic()
        if notice == NOTHING:
            return
        with self._lock:
            is_known, self._untold = self._untold != NOTHING, self._untold.joined(notice)
        if not is_known:
            self.channel.ring()

    def stop(self) -> None:
        self._is_stopping = True
        self.channel.ring()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)  # it may be waiting for a server that does not answer
        self.channel.close()

    def _run(self) -> None:
        pauses = Backoff(*_PAUSE_SECONDS)
        while not self._is_stopping:
            tried_at = uptime()
            try:
                with translated_errors(self._address):
                    self._serve(pauses)
            except StoreUnavailable as error:
                if self._is_direct and is_down(error, self._address, was_ended=self._was_ended):
                    self._registration.lease.note_down(tried_at)
                self._failures.warn("What other processes do is not seen. %s", error)
            except Exception as error:  # a bug must not end the thread: the process would be taken for dead
                if self._is_stopping:
                    return
                self._failures.exception("What other processes do is not seen", error)
            if not self._is_stopping:
                self.channel.rest(pauses.next_seconds())

    def _serve(self, pauses: Backoff) -> None:
        connection = connect(self._address, purpose="listener", limits=_LIMITS, answer_seconds=ANSWER_SECONDS)
        try:
            self._was_ended = False
            self._is_direct = leads_to_server(connection)
            session = Session(connection, self._address.schema)
            self._begin(session)
            while not self._is_stopping:
                self._turn(session)
                pauses.reset()
                self.channel.wait(session, self._pause)
        except Error as error:
            self._was_ended = was_ended(connection, error)
            raise
        finally:
            connection.close()

    def _begin(self, session: Session) -> None:
        timeline = find_timeline(session) or self._timeline
        if self._timeline not in (None, timeline):
            self._begin_anew(session)
        self._timeline = timeline
        hello = Notice(is_ready=True, is_new=True)
        self.channel.listen(session, hello.write(self._registration.number))
        self._renewed_at = self._looked_at = float("-inf")
        # What was told while nobody listened here is not told again.
        self._report(News(is_change=True, is_foreign=True, has_lines=True))

    def _begin_anew(self, session: Session) -> None:
        """Another server has taken over, which may have lagged behind: what was seen last may not be there."""
        self._registration.lease.distrust()
        self._mark = Mark()
        self._early.clear()
        with set_up(session.connection):
            self.seen = self._mark.settled = forget_positions(session)
        self._report(News(is_change=True, is_anew=True))

    def _turn(self, session: Session) -> None:
        """Do all that is due."""
        session.begin(self._registration.number, self._registration.shard)
        self._renew(session)
        self._send(session)
        self._is_told = self._heed(self.channel.take(session)) or self._is_told
        now = time.monotonic()
        if now >= self._look_at:
            with set_up(session.connection):
                self._look(session)
        if now - self._served_at > LATE_SECONDS:
            self._report(News(is_late=True))
        self._served_at = now

    def _renew(self, session: Session) -> None:
        """Renew the lease, if it is time to, by a transaction that has ended when the answer comes."""
        if time.monotonic() - self._renewed_at >= self._registration.lease.terms.renewal:
            self._renewed_at = time.monotonic()
            self._registration.lease.renew(session)

    def _send(self, session: Session) -> None:
        now = time.monotonic()
        if now < self._sends.due_at:
            return
        with self._lock:
            notice, self._untold = self._untold, NOTHING
        if notice != NOTHING:
            self._sends.note(now)
            try:
                self.channel.send(session, notice.write(self._registration.number))
            except Error:
                self.tell(notice)  # on the next connection
                raise

    def _heed(self, payloads: list[str]) -> bool:
        """Report what others say. Return whether they say something."""
        notices = []
        for payload in payloads:
            with suppress(ValueError):  # another program may use the channel
                number, notice = Notice.read(payload)
                if number != self._registration.number:
                    notices.append(notice)
        if not notices:
            return False
        heard = reduce(Notice.joined, notices)
        if heard.is_new:  # it has missed what was not told since nobody was there, and may not be on the list yet
            self._has_company_until = time.monotonic() + _COMPANY_SECONDS
            self.tell(Notice(is_change=True, is_ready=True, has_lines=True))
        self._report(News(unwanted=heard.unwanted, is_foreign=heard.is_ready, has_lines=heard.has_lines))
        return True

    def _look(self, session: Session) -> None:
        """Report what others have done since the last time.

        What is visible is reported at once: of one job, nothing that comes before it can be missing, since each change
        of a job waits for the one before. It is read again until nothing else can come before it.
        """
        is_asked, self._is_told = self._is_told or self._mark.is_behind, False
        up_to = self._mark.advance(session)
        if up_to < self.seen:  # nobody knows what has become of the jobs that are followed here
            self.seen = up_to
            self._early.clear()
            self._report(News(is_change=True, is_anew=True))
        is_change = up_to > self.seen
        if self._mark.newest > self.seen:
            is_change |= self._read_on(session, up_to)
        now = time.monotonic()
        if is_change:
            self._active_at = now
        if is_change and not (is_asked and self.channel.hears):
            # Nobody tells that they have made jobs ready, or written lines.
            self._report(News(is_change=True, is_foreign=True, has_lines=True))
        self._looked_at = now
        self._looks.note(now)
        if self._mark.is_behind:
            self._settling_seconds = self._settling.next_seconds()
        else:
            self._settling.reset()

    def _read_on(self, session: Session, up_to: int) -> bool:
        """Report all that is visible. Return whether that is anything new."""
        followed = list(self._publisher.followed)
        named = followed if len(followed) <= _MOST_NAMED else None
        is_new, is_full = False, True
        while is_full:
            page = read_others(session, self.seen, named)
            new = [row for row in page if row[:3] not in self._early]
            if new or up_to > self.seen:
                self._report(News(others=new, is_change=True, is_told=self.channel.hears))
            is_new |= bool(new)
            is_full = len(page) == PAGE and page[-1].position < up_to
            self.seen = page[-1].position if is_full else up_to
            self._early = {key for key in self._early.union(row[:3] for row in page) if key[0] > self.seen}
            if not self.channel.is_pooled:  # else this is one transaction
                self._renew(session)  # after a long absence there can be very many
        return is_new

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process to tell anything."""
        return self._registration.lease.is_alone and time.monotonic() > self._has_company_until

    @property
    def _look_at(self) -> float:
        """When to look again, if nothing happens until then."""
        if self._is_told or self._mark.is_behind:
            if self.channel.hears and not self._publisher.has_readers:
                return self._looked_at + _UNREAD_SECONDS
            return self._looks.due_at if self._is_told else self._looked_at + self._settling_seconds
        if self.channel.hears:
            return self._looked_at + _SELDOM_SECONDS
        is_busy = self._publisher.has_readers or time.monotonic() - self._active_at < _ACTIVE_SECONDS
        return self._looked_at + (_POLL_SECONDS if is_busy else _IDLE_POLL_SECONDS)

    @property
    def _pause(self) -> float:
        """How long there is nothing to do, if nothing happens."""
        due_at = min(self._renewed_at + self._registration.lease.terms.renewal, self._look_at)
        if self._untold != NOTHING:
            due_at = min(due_at, self._sends.due_at)
        return max(0.0, due_at - time.monotonic())
