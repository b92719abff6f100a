"""The reader's thread."""

import time
from collections.abc import Callable
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.stores.durable.news import Answer, Call
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import is_lasting, is_locked, is_lost, set_up, translated_errors
from servicekit.stores.postgres.server_thread import PATIENCE_SECONDS, ServerThread
from servicekit.stores.postgres.session import Session

_PAUSE_SECONDS: Final = (0.05, 1.0)
_LIMITS: Final = {"statement_timeout": "5s", "lock_timeout": "2s"}


class Reader(ServerThread):
    """Answers `query(session, argument)`. Each statement sees all that was committed before it began.

    What has to be seen at one moment is read by one statement: no transaction gives several of them the same view.
    """

    limits = _LIMITS

    def __init__(self, address: Address, prepare: Callable[[], None]) -> None:
        super().__init__(address, "reader", prepare)

    def _answer(self, calls: list[Call]) -> None:
        deadline, pauses = time.monotonic() + PATIENCE_SECONDS, Backoff(*_PAUSE_SECONDS)
        answers: list[Answer] = []
        while len(answers) < len(calls):
            call = calls[len(answers)]
            answer = self._read(call)
            if is_locked(answer):  # the others would wait for the same program, one after the other
                answers += [Answer(call, answer) for call in calls[len(answers) :]]
            elif not is_lost(answer):
                answers.append(Answer(call, answer))
            elif is_lasting(answer) or time.monotonic() + (pause := pauses.next_seconds()) > deadline:
                answers += [Answer(call, answer) for call in calls[len(answers) :]]
            else:
                time.sleep(pause)
        self._resolve(answers)

    def _read(self, call: Call) -> object:
        try:
            with translated_errors(self._address):
                return self._ask(self._connect(), call)
        except StoreUnavailable as error:
            self._disconnect()
            return error
        except Exception as error:
            return error

    def _ask(self, session: Session, call: Call) -> object:
        with set_up(session.connection, self.limits):
            return call.operation(session, call.argument)
