"""The lease of a process: until when it may be sure that no other one takes its jobs over.

        renewed             attempts stop       others may take over
    ───────┼────────────────────┼───────────────────┼──────▶ seconds
           0    2    4          6                   8

A process renews its lease every 2 seconds, from a thread of its own, so that an event loop that is blocked does not
look dead. The server's clock says how old a lease is. The process counts from before it has sent the renewal, by a
clock that nobody sets, so it never believes to have its lease for longer than others do. After 6 seconds without a
renewal it stops its attempts; after 8 another one marks it as dead, in a commit of its own, and then takes its jobs. A
process that is marked renews no more: its next renewal finds no row, and it joins anew under another number.

A process of this machine that the system does not know any more is dead once its last renewal is 3 seconds old: what it
has left behind ends within that time. Works on a cluster may take longer: see `stores.durable.dead_processes`.

After an outage of the server all leases look old, and so they do when the server's clock was set forward, which each
process notices with its next renewal. So a process judges others by the age of their leases only when it has renewed
its own for as long as they may take, and the clock was not set meanwhile. For the same reason a server that is known to
be down counts as a renewal (`note_down`): nobody renews a lease or loses one meanwhile, so attempts go on until it is
back. It is known if the server says that it is starting or shutting down, or if it has ended the last connection with
such a word and nobody listens at its address since; and if nothing was in between when it was reached last. Silence
proves nothing, nor does what a proxy or a firewall says: it may be so for this process alone.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from servicekit.stores.durable.requests import NextMoment
from servicekit.stores.postgres.server_time import ServerTime, uptime
from servicekit.stores.postgres.session import Session


class Terms(NamedTuple):
    """The times of a lease, in seconds. All processes that work on the same jobs must have the same."""

    renewal: float = 2.0
    """From one renewal to the next."""
    stop: float = 6.0
    """Without a renewal for so long, a process stops its attempts."""
    death: float = 8.0
    """Without a renewal for so long, it counts as dead ..."""
    gone: float = 3.0
    """... and without one for so long, if it is known that there is no such process any more."""


TERMS: Final = Terms()
_LOST: Final = -1.0
_ENDED: Final = "ZX"  # a zombie has ended, and waits for its parent to hear of that


class Suspect(NamedTuple):
    """Another process that may be dead."""

    number: int
    is_dead: bool
    """Whether it is marked already: somebody takes its jobs over, or has died over that."""
    is_here: bool
    """Whether it is on this machine."""
    pid: int
    pid_started: int | None
    age: float
    """The seconds since its last renewal, at the last look."""


class Look(NamedTuple):
    """What the list of processes said."""

    at: float
    """The uptime before it was asked."""
    next_moment: str | None
    living: int
    """How many processes are alive, this one included."""
    suspects: list[Suspect]


# As `time_text` writes it, whatever is set: behind a pooler nothing can be set for a single statement.
_TEXT: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_NEXT: Final = """
    least(
        (SELECT min(scheduled_at) FROM servicekit.jobs WHERE waits_for = 'time'),
        (SELECT min(expires_at) FROM servicekit.jobs WHERE status = 'pending' AND expires_at IS NOT NULL)
    )
"""
# One statement brings all that would need one of its own twice a second otherwise.
_LOOK: Final = f"""
    SELECT {_TEXT.format("clock_timestamp()")}, {_TEXT.format(_NEXT)},
    (SELECT count(*) FROM servicekit.processes WHERE NOT is_dead), (
        SELECT coalesce(json_agg(json_build_array(
            number, is_dead, coalesce(machine = %(machine)s::text, false), pid, pid_started, age
        )), '[]')
        FROM (
            SELECT *, extract(epoch FROM clock_timestamp() - renewed_at)::float8 AS age FROM servicekit.processes
        ) AS others
        WHERE number <> %(number)s AND (is_dead OR age > %(age)s)
    )
"""
# A renewal waits neither for the disk nor for a standby: a crash makes leases older by less than a second, and what
# runs shall go on while a standby is away.
_RENEW: Final = f"""
    WITH renewed AS (
        UPDATE servicekit.processes SET renewed_at = clock_timestamp() WHERE number = %(number)s AND NOT is_dead
        RETURNING number
    )
    {_LOOK}, EXISTS (SELECT FROM renewed), set_config('synchronous_commit', 'off', true)
"""

NOT_AHEAD: Final = """
    UPDATE servicekit.processes SET renewed_at = clock_timestamp() WHERE renewed_at > clock_timestamp()
"""
"""For a server's clock that was set back: a process that has died would look alive until it shows that time again."""


class Lease:
    """The lease of this process, and what it has heard of others. It may be asked and renewed in any thread."""

    def __init__(
        self, time: ServerTime, terms: Terms | None = None, *, read_uptime: Callable[[], float] = uptime
    ) -> None:
        self.time = time
        self.terms = TERMS if terms is None else terms
        self.number = 0
        """The process whose lease it is; 0: there is none."""
        self._read_uptime = read_uptime
        self._lock = Lock()
        self._until = 0.0
        self._since: float | None = None
        """Since when all renewals have come in time; `None`: the last one did not."""
        self._look: Look | None = None
        self._changed_at = 0.0

    @property
    def held_seconds(self) -> float:
        """For how long it is certain that no other process takes over what this one has."""
        return max(0.0, self._until - self._read_uptime()) if self.number else 0.0

    @property
    def is_lost(self) -> bool:
        """Whether others have marked this process as dead."""
        return self.number != 0 and self._until == _LOST

    @property
    def is_alone(self) -> bool:
        """Whether no other process was alive at the last look."""
        return self._look is not None and self._look.living <= 1

    def begin(self, number: int, sent_at: float) -> None:
        """This process is registered under this number, by what was sent at this uptime."""
        with self._lock:
            self.number, self._until, self._since = number, sent_at + self.terms.stop, sent_at

    def end(self) -> None:
        with self._lock:
            self.number, self._look, self._since = 0, None, None

    def renew(self, session: Session) -> bool:
        """Renew the lease, and look at the others. `False`: this process was marked as dead, and renews no more.

        The thread that listens calls it every `Terms.renewal` seconds, also while there is no lease.
        """
        number = self.number
        if number == 0 or self.is_lost:
            return number == 0
        (is_renewed, _), look = self._ask(session, _RENEW)
        with self._lock:
            if number == self.number:
                self._look = look
                self._note_renewal(look.at, is_renewed=is_renewed)
        return bool(is_renewed)

    def _note_renewal(self, sent_at: float, *, is_renewed: bool) -> None:
        if self._since is None or sent_at >= self._until:
            self._since = sent_at
        self._until = sent_at + self.terms.stop if is_renewed else _LOST

    def note_down(self, tried_at: float) -> None:
        """At this uptime, or later, it was known that the server is down."""
        with self._lock:
            if not self.is_lost:
                self._until, self._since = tried_at + self.terms.stop, None

    def distrust(self) -> None:
        """The leases of others may be lost, not old: judge them when they have had the time to renew them."""
        with self._lock:
            self._since = None

    def look(self, session: Session, _: None = None) -> None:
        """Look at the others without a renewal, and learn the server's time: a read."""
        self._look = self._ask(session, _LOOK)[1]

    def _ask(self, session: Session, statement: str) -> tuple[list[Any], Look]:
        values = {"number": self.number, "machine": find_machine(), "age": self.terms.gone - self.terms.renewal}
        sent_at = self._read_uptime()
        ((now, next_moment, living, others, *more),) = session.run(statement, values)
        if self.time.take(datetime.fromisoformat(now), sent_at, self._read_uptime()):
            self._since = None  # by a clock that was set forward, all leases look old until they are renewed
        return more, Look(sent_at, next_moment, living, [Suspect(*other) for other in json.loads(others)])

    def note_commit(self) -> None:
        """This process has committed something: the next moment at which a job is due may be another one now."""
        self._changed_at = self._read_uptime()

    def find_next(self) -> NextMoment | None:
        """The next moment at which a job comes due or has waited too long; `None`: that has to be asked."""
        look = self._look
        is_known = self.held_seconds > 0 and look is not None and look.at > self._changed_at
        return NextMoment(look.next_moment) if is_known and look is not None else None

    def list_suspects(self) -> list[tuple[int, bool]]:
        """Other processes that seem to be dead by now, and whether it is seen that they are gone."""
        now, look = self._read_uptime(), self._look
        if look is None:
            return []
        judges = self.held_seconds > 0 and self._since is not None and now - self._since >= self.terms.death
        found = []
        for other in look.suspects:
            age = other.age + now - look.at
            is_gone = other.is_here and age > self.terms.gone and has_ended(other.pid, other.pid_started)
            if other.is_dead or is_gone or (judges and age > self.terms.death):
                found.append((other.number, is_gone))
        return found


@cache
def find_machine() -> str | None:
    """Whoever has the same text sees the same processes in `/proc`: a start of a machine, and a container on it."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 # it leads to no file
    return None


def find_start(pid: int) -> int | None:
    """When a process of this machine was started, in ticks; `None`: that cannot be seen, and 0: it has ended."""
    try:
        # The name of the program comes before, in brackets, and can have anything in it.
        _, _, text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        state, *fields = text.split()
    except (OSError, ValueError):
        return None
    return 0 if state in _ENDED else int(fields[18])


def has_ended(pid: int, started: int | None) -> bool:
    """Whether it is certain that a process of this machine has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started is not None and find_start(pid) not in (None, started)
