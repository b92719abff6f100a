"""Tickets: short-lived, signed, for reading streams. Browsers cannot send headers with `EventSource`.

A ticket stands in an address, and so in logs of proxies. So it is good for the two stream routes of one service alone,
for a few minutes, and for looking. It is signed, not encrypted, by what all processes of the service have: the API key
of whom it was given to, or the service's ticket secret. A ticket ends with the key that signed it.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from starlette.types import Scope

from servicekit.api.access import Access
from servicekit.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    from itsdangerous import URLSafeSerializer

TICKET_VARIABLE: Final = "SERVICEKIT_TICKET_SECRET"
_TICKET: Final = "servicekit.ticket"
_SHORTEST: Final = 16
# A ticket for a hundred jobs has some 4,000 letters. A longer text is not looked at: to see that it is not signed takes
# time for each key; and what a holder of a key may have signed can grow a thousandfold when it is unpacked.
_LONGEST: Final = 8_000
_CLOCKS_APART: Final = 60.0  # seconds, as the clocks of two machines may be


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket lets its bearer see."""

    access: Access
    job_ids: frozenset[str] | None
    """Only these jobs; `None` for all that the access sees."""


class Tickets:
    """Signs and reads the tickets of one service. `MissingExtra` where itsdangerous is not installed."""

    def __init__(self, service: str, seconds: float, *, clock: Callable[[], float] = time.time) -> None:
        self._salt = f"servicekit ticket {service}"
        self._seconds = seconds
        self._clock = clock

    def sign(self, access: Access, job_ids: Iterable[str], secret: bytes) -> tuple[str, datetime]:
        """A ticket for what this access sees, or for the jobs that are named; and when it ends."""
        ends_at = self._clock() + self._seconds
        told = {"owner": access.owner, "everything": access.everything, "jobs": sorted(job_ids), "until": ends_at}
        return str(self._signer(secret).dumps(told)), datetime.fromtimestamp(ends_at, UTC)

    def read(self, text: str, secret: bytes) -> Ticket | None:
        """What the ticket lets see; `None` if it was not signed for this service by this secret, or has ended."""
        if len(text) > _LONGEST:
            return None
        try:
            from itsdangerous import BadData
        except ModuleNotFoundError:
            return None
        try:
            return self._check(**self._signer(secret).loads(text))
        # The holder of an API key knows what its tickets are signed by, and can sign whatever it likes.
        except (BadData, TypeError, ConfigurationError):
            return None

    def _check(self, owner: str | None, everything: bool, jobs: list[str], until: float) -> Ticket | None:
        is_told_well = isinstance(until, float) and all(isinstance(job_id, str) for job_id in jobs)
        if not is_told_well or not 0 < until - self._clock() <= self._seconds + _CLOCKS_APART:
            return None
        return Ticket(Access(owner=owner, everything=everything is True), frozenset(jobs) or None)

    def _signer(self, secret: bytes) -> "URLSafeSerializer":
        try:
            from itsdangerous import URLSafeSerializer
        except ModuleNotFoundError as error:
            raise MissingExtra("Tickets", "auth") from error
        options = {"key_derivation": "hmac", "digest_method": sha256}
        return URLSafeSerializer(secret, salt=self._salt, signer_kwargs=options)


def check_ticket_secret(secret: str | None) -> bytes | None:
    """The hash of the secret, by which tickets are signed. `ConfigurationError` if it can be guessed."""
    if secret is None:
        return None
    if not isinstance(secret, str) or len(secret) < _SHORTEST:
        sentence = f"The ticket_secret must be a text of at least {_SHORTEST} characters, best random ones."
        raise ConfigurationError("ticket_secret", None, sentence=sentence)  # without the value, which errors would show
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def take_ticket(scope: Scope) -> str | None:
    """The ticket in the address of a request. It is taken out, so that it does not stand in the server's log."""
    if _TICKET not in scope:
        parts = scope["query_string"].split(b"&")
        found = [part for part in parts if part.startswith(b"ticket=")]
        if found:
            scope["query_string"] = b"&".join(part for part in parts if part not in found)
            scope[_TICKET] = unquote(found[0].removeprefix(b"ticket=").decode("latin-1"))
    return find_ticket(scope)


def find_ticket(scope: Scope) -> str | None:
    """The ticket that was taken out of the address."""
    ticket: str | None = scope.get(_TICKET)
    return ticket


def is_stream(path: str, jobs_prefix: str) -> bool:
    """Whether this is the path of a stream route, which takes tickets: of one job or of all."""
    if not path.startswith(f"{jobs_prefix}/"):
        return False
    rest = path[len(jobs_prefix) + 1 :].split("/")
    return rest == ["$stream"] or (len(rest) == 2 and rest[1] == "$stream")
