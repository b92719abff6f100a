"""The writer's thread: one transaction for all calls that wait."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import psycopg

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.ports import EventRelay
from servicekit.stores.durable.news import Answer, Call, News
from servicekit.stores.durable.operations import Rank
from servicekit.stores.durable.records import EventRow
from servicekit.stores.durable.transactions import perform
from servicekit.stores.durable.trouble import LastTrouble
from servicekit.stores.postgres import keys, owners
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import (
    commit,
    end_wait,
    is_elsewhere,
    is_general,
    is_lasting,
    is_locked,
    is_lost,
    is_retryable,
    set_locally,
    set_up,
    translated_errors,
)
from servicekit.stores.postgres.feed import PURPOSE, read_others_of_same, read_own, settle
from servicekit.stores.postgres.listener import Listener
from servicekit.stores.postgres.notices import notice_of
from servicekit.stores.postgres.registration import ProcessRegistration
from servicekit.stores.postgres.server_thread import PATIENCE_SECONDS, ServerThread
from servicekit.stores.postgres.session import Session

# A process that stops must be gone in time. Another process finds what it could not write.
_LAST_PATIENCE_SECONDS: Final = 0.3
# The pauses between two tries to reach the server, or to change what others change as well.
_PAUSE_SECONDS: Final = (0.05, 1.0)
# So often a transaction that others have got in the way of is tried as a whole.
_MOST_CONFLICTS: Final = 3
# ... and so often one that has waited for a lock: for as long as calls wait for a server that is away.
_MOST_LOCKS: Final = 2

# What only a process may write that surely has its jobs.
_WORK: Final = frozenset({Rank.REPORT, Rank.END, Rank.CLAIM})
_CLAIMS: Final = frozenset({Rank.CLAIM})

# Our transactions take milliseconds. One that waits for a lock for longer waits for somebody who stands still; and who
# stands still in one, which holds locks, is ended by the server.
_LIMITS: Final = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "3s",
    "synchronous_commit": "on",  # what is acknowledged survives, whatever the database or the role has set
    # A plan is kept for as long as the connection. One that reads a table whole is cheap only while that is new.
    **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"), "off"),
    "enable_material": "off",
}
# Who takes a position holds the lock, and who wants to know its own events knows where they begin.
_BEGIN: Final = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {settings}
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END, pg_advisory_xact_lock_shared({lock})
    FROM servicekit.positions
"""
# A transaction that finds its calls written, and writes nothing, would not wait for the standbys that must have them.
_WAIT: Final = "SELECT pg_logical_emit_message(true, 'servicekit', '')"


class Commit(NamedTuple):
    """What a transaction has written."""

    answers: list[Answer]
    before: int
    """All of its events have higher positions."""
    ours: list[EventRow] | None
    """Its events; `None` if nobody seemed to want them."""
    others: list[EventRow]
    """What other processes did before to the same jobs."""
    is_changed: bool
    is_ready: bool


class Writer(ServerThread):
    """Performs operations, and reports what has been committed."""

    limits = _LIMITS

    def __init__(
        self,
        address: Address,
        report: Callable[[News], None],
        publisher: EventRelay,
        registration: ProcessRegistration,
        listener: Listener,
        prepare: Callable[[], None],
    ) -> None:
        self._report = report
        self._publisher = publisher
        self._registration = registration
        self._listener = listener
        self._patience_for_server = PATIENCE_SECONDS
        self.trouble = LastTrouble()
        self._untold: int | None = None
        """Where events begin that may be committed, and have not been told: an answer was lost."""
        self._is_unsure = False
        """Whether the answer to a commit was lost, so that the calls may have been written already."""
        self._is_known = True
        """Whether all that this process has committed is where the server was told to have it, as at a standby."""
        self._has_lost_answers = False
        """Whether that has ever happened: those who were told of it may ask again."""
        super().__init__(address, "writer", prepare)

    def hurry(self) -> None:
        """The process is about to end: from now on, wait only a moment for the server."""
        self._patience_for_server = _LAST_PATIENCE_SECONDS

    @property
    def _patience_seconds(self) -> float | None:
        again_at = None if self._session is None else self._session.claim_again_at
        return None if again_at is None else max(0.0, again_at - time.monotonic())

    def _answer(self, calls: list[Call]) -> None:
        if calls:
            self._answer_together(calls)
            return
        if self._session is not None:
            self._session.claim_again_at = None
        self._report(News(is_ready=True))  # so the process claims, unless it does not at all

    def _answer_together(self, calls: list[Call]) -> None:
        try:
            done = self._insist(calls)
        except StoreUnavailable as error:
            self.trouble.note(error)
            self._answer_alone(calls, error)
        else:
            self.trouble.clear()
            self._tell(done)

    def _insist(self, calls: list[Call]) -> Commit:
        """Write the calls. While the server is away or others are in the way, try again for some seconds."""
        began, pauses, tries = time.monotonic(), Backoff(*_PAUSE_SECONDS), 0
        while True:
            try:
                with translated_errors(self._address):
                    return self._write(calls)
            except StoreUnavailable as error:
                self._abandon(error)
                self._has_lost_answers |= self._is_unsure
                tries += 1
                pause = pauses.next_seconds()
                # At least one try on another connection: to find out that one is dead can take all of the time.
                is_patient = tries == 1 or time.monotonic() + pause < began + self._patience_for_server
                most = _MOST_LOCKS if is_locked(error) else _MOST_CONFLICTS
                may_pass = is_lost(error) or is_elsewhere(error) or (is_retryable(error) and tries < most)
                if not (may_pass and is_patient) or is_lasting(error):
                    raise
            time.sleep(pause)

    def _answer_alone(self, calls: list[Call], error: StoreUnavailable) -> None:
        """Try calls that failed together one by one, unless each would fail for the same reason."""
        if is_general(error):
            calls = [*calls, *self._take_waiting()]  # they have waited as well
        if len(calls) == 1 or is_general(error):
            self._is_unsure = False  # who asked is told that it is not known
            self._report(News([Answer(call, error) for call in calls]))
        else:
            for call in calls:
                self._answer_together([call])

    def _abandon(self, error: StoreUnavailable) -> None:
        session = self._session
        if session is None or is_lost(error) or is_elsewhere(error):
            if session is not None:
                end_wait(session.connection, error)
            self._disconnect()
            return
        try:
            session.connection.execute("ROLLBACK")
        except psycopg.Error:
            self._disconnect()

    def _write(self, calls: list[Call]) -> Commit:
        try:
            session = self._connect()
            refused, rest = self._refuse_work(calls)
            before = self._begin(session)
            answers = refused + perform(session, rest)
            if session.owned:  # before the keys: who waits for a row here has locked none of them, unless it claims
                owners.settle(session)
            if session.keys:
                keys.settle(session)
            if not self._is_known:
                session.run(_WAIT)
            ours, others = self._read_early(session, before)
            self._is_unsure, self._is_known, self._untold = True, False, before
            commit(session.connection, keeps=not self._is_nothing(session, rest))
            self._is_unsure, self._is_known = False, True
        except (psycopg.Error, StoreUnavailable):
            raise
        except Exception as error:  # a bug must not leave callers waiting, nor a transaction open
            self._failures.exception("Jobs could not be written", error)
            raise StoreUnavailable(self._location, f"{type(error).__name__}: {error}") from error
        return Commit(answers, before, ours, others, session.is_changed, session.is_ready)

    @staticmethod
    def _is_nothing(session: Session, calls: list[Call]) -> bool:
        """Whether nothing that these calls have done has to be kept: a claim that has found no job has locked a row."""
        if session.is_changed or session.is_ready:
            return False
        return all(call.operation.rank is Rank.CLAIM and not call.argument.is_first for call in calls)

    def _connect(self) -> Session:
        session = super()._connect()
        if not self._listener.has_begun:  # nothing has been missed by who has seen nothing yet
            self._listener.begin(settle(session))
        return session

    def _refuse_work(self, calls: list[Call]) -> tuple[list[Answer], list[Call]]:
        """The answers to calls that must not be written now, and the other calls."""
        if self._is_unsure:  # what was claimed then may be written, and is not known
            refused, reason = _CLAIMS, "the server's answer was lost. It is tried again."
        elif self._registration.held_seconds <= 0 and self._registration.lease.number:
            refused, reason = _WORK, "this process could not tell the server in time that it lives. It is tried again."
        else:
            return [], calls
        error = StoreUnavailable(self._location, reason)
        answers = [Answer(call, error) for call in calls if call.operation.rank in refused]
        return answers, [call for call in calls if call.operation.rank not in refused]

    def _begin(self, session: Session) -> int:
        """Begin a transaction. Return the position after which its events come."""
        session.begin(self._registration.number, self._registration.shard)
        session.is_unsure, session.has_lost_answers = self._is_unsure, self._has_lost_answers
        session.is_changed = session.is_ready = self._untold is not None
        settings = set_locally(session.connection, self.limits)
        statement = _BEGIN.format(settings=settings, lock=session.lock_number(PURPOSE))
        cursor = session.connection.execute(session.text_of(statement), prepare=False)
        cursor.set_result(-1)
        before = int(cursor.fetchall()[0][0])
        return before if self._untold is None else min(before, self._untold)

    def _read_early(self, session: Session, before: int) -> tuple[list[EventRow] | None, list[EventRow]]:
        """The events of a transaction before it is committed, and what others did before to the same jobs."""
        if not session.is_changed:
            return [], []
        if self._publisher.is_idle:
            return None, []
        followed = [] if self._listener.is_alone else list(self._publisher.followed)
        others = read_others_of_same(session, before, self._listener.seen, followed) if followed else []
        return read_own(session, before), others

    def _tell(self, done: Commit) -> None:
        ours = done.ours
        self._untold = None
        if ours is None and not self._publisher.is_idle:
            # Asked again after the commit: whoever begins to watch later than this reads the store later still.
            ours = self._read_late(done.before)
        self._registration.lease.note_commit()
        self._report(
            News(
                done.answers, ours or (), done.others,
                is_change=done.is_changed, is_ready=done.is_ready, is_told=self._listener.channel.hears,
            )
        )  # fmt: skip
        if not self._listener.is_alone:
            self._listener.tell(notice_of(done.answers, is_changed=done.is_changed, is_ready=done.is_ready))

    def _read_late(self, before: int) -> list[EventRow]:
        """The events of the last transaction, which is committed."""
        try:
            with translated_errors(self._address):
                session = self._connect()
                with set_up(session.connection):
                    return read_own(session, before)
        except StoreUnavailable:
            self._untold = before
            return []
