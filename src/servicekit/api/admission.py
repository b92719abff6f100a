"""What the caller of a request sees and may do: asked once for each request, and again for each open stream.

API keys are checked in front of the application, by `KeyGuard`. Here the access of a caller is found out, for
servicekit's routes, for `SubmitJob`, and for endpoints that ask for it: by the dependency of `with_jobs(access=...)`,
or else by the role of the key. Without both nothing is asked, and every caller may do everything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from starlette.types import Scope

from servicekit.api.access import EVERYTHING, Access
from servicekit.api.guard import BAD_TICKET, CHALLENGE, GUARD_IN_SCOPE, WRONG_KEY, Guard
from servicekit.api.origins import SAFE_METHODS
from servicekit.api.state import ServiceState, state_of
from servicekit.api.tickets import Ticket, find_ticket
from servicekit.errors import ConfigurationError

_ACCESS: Final = "servicekit.access"
_NAMED: Final = "servicekit.jobs of ticket"
LOOKS_ONLY: Final = "You may look, and not act: submitting, canceling, repeating and deleting need another access."
NOT_EVERYTHING: Final = "You see the jobs of one owner. This belongs to all, and needs an access that sees everything."


def is_guarded(scope: Scope) -> bool:
    """Whether the caller's access must be asked for."""
    return GUARD_IN_SCOPE in scope or state_of(scope).gate is not None


async def admit(scope: Scope) -> Access:
    """The access of a request's caller, which is found out once. 401 or 403 if there is none."""
    access = _find_known(scope)
    if access is None:
        access = await _ask(scope) if is_guarded(scope) else EVERYTHING
        scope[_ACCESS] = state_of(scope), access
    return access


def _find_known(scope: Scope) -> Access | None:
    """The access that this service has asked for already. One in which it is mounted may have asked for its own."""
    found: tuple[ServiceState, Access] | None = scope.get(_ACCESS)
    return None if found is None or found[0] is not state_of(scope) else found[1]


async def get_access(request: Request) -> Access:
    """The access of the request's caller, for endpoints of your own: `AccessDependency` for short."""
    return await admit(request.scope)


AccessDependency = Annotated[Access, Depends(get_access)]


def find_access(request: Request) -> Access:
    """The access of a request that has been asked for it already: by `AccessDependency`, `SubmitJob`, or our routes.

    `ConfigurationError` if it has not, so that nobody gets more by a route that forgot to ask.
    """
    access = _find_known(request.scope)
    if access is not None:
        return access
    if is_guarded(request.scope):
        sentence = "This request was not asked for its access: let the endpoint have an AccessDependency."
        raise ConfigurationError("access", None, sentence=sentence)
    return EVERYTHING


def find_jobs_of_ticket(request: Request) -> frozenset[str] | None:
    """The only jobs that a caller sees who has come with a ticket for these; `None` if there is no such limit."""
    named: frozenset[str] | None = request.scope.get(_NAMED)
    return named


def read_ticket(state: ServiceState, text: str) -> Ticket | None:
    """What the ticket lets its bearer see now; `None` if it is not valid.

    It is signed by the API key of whom it was given to, and then shows what the key does now. If the application itself
    says who sees what, its answer is in the ticket, and the service's secret has signed it: keys are known to holders.
    """
    if state.tickets is None:
        return None
    if state.gate is not None:
        return None if state.ticket_secret is None else state.tickets.read(text, state.ticket_secret)
    for key in () if state.guard is None else state.guard.source.ring().keys:
        ticket = state.tickets.read(text, key.digest)
        if ticket is not None:
            return ticket if ticket.access == replace(key.access, may_act=False) else None
    return None


def check_may_act(access: Access) -> None:
    """Answer 403 to those who may only look."""
    if not access.may_act:
        raise HTTPException(403, LOOKS_ONLY)


def check_everything(access: Access, method: str) -> None:
    """Answer 403 unless everything is seen, and to those who may only look if the method can change something."""
    if not access.everything:
        raise HTTPException(403, NOT_EVERYTHING)
    if method not in SAFE_METHODS:
        check_may_act(access)


def asking_again(request: Request) -> Callable[[], Awaitable[bool]] | None:
    """A function that tells whether the caller of this request still has the same access; `None` if all have."""
    scope = request.scope
    return partial(_has_still, scope, find_access(request)) if is_guarded(scope) else None


async def _has_still(scope: Scope, access: Access) -> bool:
    try:
        return await _ask(scope) == access
    except HTTPException:
        return False


async def _ask(scope: Scope) -> Access:
    text = find_ticket(scope)
    if text is not None:
        return _ask_ticket(scope, text)
    guard: Guard | None = scope.get(GUARD_IN_SCOPE)
    key = None if guard is None else guard.find_key(scope)
    if guard is not None and key is None:  # it was valid when the request came in
        raise HTTPException(401, WRONG_KEY, headers=CHALLENGE)
    gate = state_of(scope).gate
    if gate is None:
        return EVERYTHING if key is None else key.access
    access = await gate.ask(scope)
    return access if key is None else key.narrow(access)


def _ask_ticket(scope: Scope, text: str) -> Access:
    ticket = read_ticket(state_of(scope), text)
    if ticket is None:
        raise HTTPException(401, BAD_TICKET, headers=CHALLENGE)
    scope[_NAMED] = ticket.job_ids
    return ticket.access
