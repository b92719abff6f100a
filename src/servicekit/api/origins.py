"""Protection against pages of other sites (cross-site request forgery).

Any page can make its visitor's browser send a request to this service, with the visitor's cookies and from within the
visitor's network. The page cannot read the answer, but a job would be canceled or submitted. So a request that can
change something is refused if a page of another site, or of another subdomain, has made it. An origin can be trusted by
CORS, or by `trusted_origins`.

A browser sends `Sec-Fetch-Site`, which says whether the page is of the same origin as the address, whatever proxies do
on the way. It leaves this header out if it talks to another machine without TLS; old browsers always do. Then `Origin`
must name the host that was asked for: that of `Host`, or of `X-Forwarded-Host` behind a proxy that changes `Host`. A
page can set neither. A request with neither `Sec-Fetch-Site` nor `Origin` is not from a page, and has no cookies of
anybody.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from servicekit.api.state import find_service
from servicekit.errors import ConfigurationError

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SITE_HEADERS: Final = (b"sec-fetch-site", b"origin")
"""A request without these is not from a page."""
_OWN_SITES: Final = (b"same-origin", b"none")
_PORTS: Final = {"http": 80, "https": 443}


async def refuse_other_sites(request: Request) -> None:
    """A dependency that answers 403 to a request that a page of another site makes, unless its method is a safe one.

    servicekit's own routes and `SubmitJob` have this protection. Add it to endpoints that change something in other
    ways: `APIRouter(dependencies=[Depends(refuse_other_sites)])`.
    """
    check_site(request.scope)


def check_site(scope: Scope) -> None:
    """Answer 403 if the request can change something, and comes from a page of another site."""
    if scope["method"] in SAFE_METHODS:
        return
    headers = dict(scope["headers"])
    site, origin = map(headers.get, SITE_HEADERS)
    if site is None and origin is None:
        return
    is_own = _is_asked_for(origin, headers) if site is None and origin is not None else site in _OWN_SITES
    if is_own or _is_trusted((origin or b"").decode("latin-1"), Request(scope)):
        return
    raise HTTPException(
        403,
        "A page of another site may not do this. If it is one of yours, name its origin in allow_origins (CORS) or in "
        "trusted_origins. If it is this site, let the proxy pass on Host or X-Forwarded-Host.",
    )


def check_origins(option: str, origins: Sequence[str]) -> frozenset[str]:
    """The origins of an option, in lower case. `ConfigurationError` if one of them is no origin."""
    if isinstance(origins, str) or not all(origin in ("*", "null") or _is_origin(origin) for origin in origins):
        raise ConfigurationError(option, origins, "a list of origins such as ['https://app.example.com'], or ['*']")
    return frozenset(origin.lower() for origin in origins)


def _is_origin(text: str) -> bool:
    return re.fullmatch(r"[a-zA-Z][\w+.-]*://[^/\s]+", text) is not None


def _is_asked_for(origin: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the origin is the host that the browser has asked for, by the headers that name it."""
    scheme, _, page = origin.decode("latin-1").partition("://")
    name, port = _split(page)
    hosts = [headers.get(b"host", b""), *headers.get(b"x-forwarded-host", b"").split(b",")]
    asked_for = [_split(host.decode("latin-1").strip()) for host in hosts]
    # A proxy may leave the port out, as nginx's `$host` does.
    return bool(name) and any(each in ((name, None), (name, port or _PORTS.get(scheme))) for each in asked_for)


def _split(host: str) -> tuple[str | None, int | None]:
    try:
        split = urlsplit(f"//{host}")
        return split.hostname, split.port
    except ValueError:  # not a name or an address, or a port that cannot be
        return None, None


def _is_trusted(origin: str, request: Request) -> bool:
    service = find_service(request)
    if not service.trusted_origins.isdisjoint({origin.lower(), "*"}):
        return True
    return any(_lets_in(origin, each) for each in [*service.middleware, *request.app.user_middleware])


def _lets_in(origin: str, middleware: Middleware) -> bool:
    """Whether this is a CORS middleware, of the builder or the user, that allows the origin."""
    if not (isinstance(middleware.cls, type) and issubclass(middleware.cls, CORSMiddleware)):
        return False
    return middleware.cls(_nothing, *middleware.args, **middleware.kwargs).is_allowed_origin(origin)  # type: ignore[arg-type] # whatever it was added with


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in for the application of a middleware that is made only to be asked."""
