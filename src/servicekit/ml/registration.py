"""Registration: the service tells another one, such as CHAP, that it is there."""

import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from fastapi import FastAPI

from servicekit.api.info import ServiceInfo
from servicekit.errors import ConfigurationError, check_seconds
from servicekit.jobs.backoff import Backoff, FailureLog

_log = logging.getLogger("servicekit.ml")

_ANSWER_SECONDS: Final = 10.0  # who answers later than this is asked again
_LONGEST_PAUSE_SECONDS: Final = 30.0  # so long at most a service is unknown to one that has just started


class Registration:
    """A feature that posts the service's address and info to `url` when it starts, and again every few seconds.

        builder.with_feature(Registration("http://chap:8000/v2/services/$register", service_url="http://model:8000"))

    The body is `{"url": service_url, "info": {...}}`, what CHAP expects. It is posted by a thread: the service starts
    and stops without waiting for it. What fails is logged once a minute, and tried again after pauses of half a second
    to half a minute. To post again says that the service is still there, also to a receiver that was started anew.

    - `service_url`: where the receiver finds this service.
    - `key`: sent as `X-Service-Key`. It is in no log.
    - `every`: the seconds from one post to the next; CHAP forgets a service after 30.

    `ConfigurationError` for an address that is not one of http or https.
    """

    def __init__(self, url: str, *, service_url: str, key: str | None = None, every: float | timedelta = 10.0) -> None:
        _check_url("url", url)
        _check_url("service_url", service_url)
        if key is not None and (not key.isascii() or not key.isprintable()):
            raise ConfigurationError("key", "...", "a text of printable ASCII characters")
        seconds = check_seconds("every", every)
        if not seconds:
            raise ConfigurationError("every", every, "more than 0 seconds")
        self._url = url
        self._service_url = service_url
        self._key = key
        self._every_seconds = seconds

    def install(self, app: FastAPI) -> None:
        """Nothing to add: it needs no route."""

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        info = getattr(app.state, "info", None) or ServiceInfo(display_name=app.title, version=app.version)
        body = json.dumps({"url": self._service_url, "info": info.model_dump(mode="json")}).encode()
        stopped = threading.Event()
        # A daemon: a receiver that does not answer must not keep the process when the service has stopped.
        thread = threading.Thread(
            target=self._post_until, args=[stopped, body], name="servicekit-registration", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stopped.set()

    def _post_until(self, stopped: threading.Event, body: bytes) -> None:
        failures, backoff = FailureLog(_log), Backoff(longest_seconds=_LONGEST_PAUSE_SECONDS)
        is_known = False
        while not stopped.is_set():
            problem = self._post(body)
            if problem is None:
                if not is_known:
                    _log.info("Registered at %s", self._url)
                backoff.reset()
            elif not stopped.is_set():
                failures.warn("Cannot register at %s: %s", self._url, problem)
            is_known = problem is None
            stopped.wait(self._every_seconds if is_known else backoff.next_seconds())

    def _post(self, body: bytes) -> str | None:
        """Post it once, and return what was wrong."""
        headers = {"Content-Type": "application/json"} | ({"X-Service-Key": self._key} if self._key else {})
        try:
            request = Request(self._url, body, headers, method="POST")
            with _OPENER.open(request, timeout=_ANSWER_SECONDS) as answer:
                answer.read(1)
        except HTTPError as error:
            with error:
                return f"the answer was {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            return str(error) or type(error).__name__
        return None


class _NoRedirects(HTTPRedirectHandler):
    """Leaves a redirect as the failure that it is: the key must not go to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER: Final = build_opener(_NoRedirects)


def _check_url(option: str, url: str) -> None:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(option, url, "an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise ConfigurationError(option, "...", sentence=f"{option} has a password in it. Logs show it: use `key`.")
