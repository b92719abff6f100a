"""Whose pages may change something.

For any page that asks, a browser sends a request with its visitor's cookies, from within its visitor's network. The
page cannot read the answer, but a job would be canceled, or submitted. So what may change something is refused if a
page of another site asks for it, that of another subdomain included, unless its origin is trusted: by CORS, or by
`trusted_origins`.

A browser tells by `Sec-Fetch-Site` what it knows of page and address, whatever proxies do on the way. It leaves that
out where it talks in clear text to another machine, as old browsers always do. Then `Origin` must name the host that
was asked for, by `Host` or, behind a proxy that changes this, by `X-Forwarded-Host`, which no page can set. What sends
neither header is no browser, and nobody's cookies are with it.
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

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SITE_HEADERS: Final = (b"sec-fetch-site", b"origin")
"""A request without these is no page's."""
_OWN_SITES: Final = (b"same-origin", b"none")
_PORTS: Final = {"http": 80, "https": 443}


async def refuse_other_sites(request: Request) -> None:
    """A dependency that answers 403 to what a page of another site asks for, unless its method changes nothing.

    The service's own routes and `SubmitJob` do so by themselves. For endpoints that change something in other ways:
    `APIRouter(dependencies=[Depends(refuse_other_sites)])`.
    """
    check_site(request.scope)


def check_site(scope: Scope) -> None:
    """Raise what is answered by 403 if the request may change something, and comes from a page of another site."""
    if scope["method"] in _SAFE_METHODS:
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
    """The origins that an option names; `ConfigurationError` for what is none."""
    if isinstance(origins, str) or not all(origin in ("*", "null") or _is_origin(origin) for origin in origins):
        raise ConfigurationError(option, origins, "a list of origins such as ['https://app.example.com'], or ['*']")
    return frozenset(origin.lower() for origin in origins)


def _is_origin(text: str) -> bool:
    return re.fullmatch(r"[a-zA-Z][\w+.-]*://[^/\s]+", text) is not None


def _is_asked_for(origin: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the origin is the host that the browser has asked for, as far as the server is told."""
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
    except ValueError:  # it is neither a name nor an address, or has no such port
        return None, None


def _is_trusted(origin: str, request: Request) -> bool:
    service = find_service(request)
    if not service.trusted_origins.isdisjoint({origin.lower(), "*"}):
        return True
    return any(_lets_in(origin, each) for each in [*service.middleware, *request.app.user_middleware])


def _lets_in(origin: str, middleware: Middleware) -> bool:
    """Whether this is CORS, by the builder or the user's own, and lets pages of the origin in."""
    if not (isinstance(middleware.cls, type) and issubclass(middleware.cls, CORSMiddleware)):
        return False
    return middleware.cls(_nothing, *middleware.args, **middleware.kwargs).is_allowed_origin(origin)  # type: ignore[arg-type] # whatever it was added with


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application in a middleware that is only asked."""
