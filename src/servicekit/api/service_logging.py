"""The logging feature: structured lines, each with the id of its request."""

import logging
import time
from http import HTTPStatus

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.api.features import Passive
from servicekit.observability.service_logging import accept_request_id, configure_logging, request_id

_access_log = logging.getLogger("servicekit.access")


class Logging(Passive):
    """Structured logging on standard error, one JSON object a line. Each request has a line, and so has each step in
    the life of a job, unless `with_jobs(log_jobs=False)` turns these off.

    The lines of a request, also those of your own loggers, have its `request_id`: that of its `X-Request-ID` header, or
    a new one. The response has it in the same header. Lines that a job logs have its `job_id`. If the root logger has
    handlers already, they are kept, and none is added.

    It needs the extra `logging`: `MissingExtra` without it.
    """

    def __init__(self, *, level: int | str = logging.INFO) -> None:
        self._level = level

    def install(self, app: FastAPI) -> None:
        configure_logging(self._level)
        app.add_middleware(RequestLog)


class RequestLog:
    """Middleware that gives each request an id, and logs the request when it has been answered.

    It is not made of Starlette's `BaseHTTPMiddleware`, which would hide the disconnect of a stream's reader.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(accept_request_id(Headers(scope=scope).get("x-request-id")), send)
        token = request_id.set(exchange.request_id)
        try:
            await self._app(scope, receive, exchange.send)
        finally:
            exchange.log(scope)
            request_id.reset(token)


class _Exchange:
    """The facts of a request and its response that are logged."""

    __slots__ = ("_send", "_started_at", "_status", "request_id")

    def __init__(self, request_id: str, send: Send) -> None:
        self.request_id = request_id
        self._send = send
        self._status = HTTPStatus.INTERNAL_SERVER_ERROR.value  # the server answers so if the application sends nothing
        self._started_at = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.request_id
        await self._send(message)

    def log(self, scope: Scope) -> None:
        milliseconds = round((time.perf_counter() - self._started_at) * 1_000, 3)
        fields = {"method": scope["method"], "path": scope["path"], "status": self._status, "duration_ms": milliseconds}
        _access_log.info("request", extra=fields)
