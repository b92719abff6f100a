"""The auth feature: API keys for every route of an application."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Final

from fastapi import FastAPI
from starlette.types import Scope

from servicekit.api.access_document import document_access
from servicekit.api.admission import read_ticket
from servicekit.api.api_keys import ApiKey
from servicekit.api.features import Passive
from servicekit.api.guard import Guard, KeyGuard, check_open_paths, path_of
from servicekit.api.key_sources import KeyFile, open_keys
from servicekit.api.service import Service
from servicekit.api.state import HealthCheck, ServiceState, service_state
from servicekit.api.ticket_routes import add_ticket_route
from servicekit.api.tickets import is_stream, take_ticket
from servicekit.errors import ConfigurationError
from servicekit.ports import Notice

_HEALTH_PATH: Final = "/health"
_LOOKS: Final = ("GET", "HEAD")
# Without the path of the file, which clients must not see.
_STALE: Final = "New API keys cannot be read, so the last good ones stay valid: the log says why."


class Auth(Passive):
    """Demands an API key for every path of the application, the user's own endpoints and WebSockets included.

    A key comes as `Authorization: Bearer ...` or `X-API-Key: ...`, never in a URL. Without a valid one the answer is
    401. What the holder sees and does in servicekit's own routes, the key's role and owner say: see `ApiKey`. That is
    the `access` of jobs, unless `with_jobs` has another. Then the key only lets in, and one to read lets nobody act.

    - `api_keys`: the keys. Several for one holder can be valid at once, so that a new one can take the place of an old.
    - `key_file`: instead, a file with a JSON array of objects with `name`, `secret`, `role` and `owner`. It is read
      again when it changes, a second later at most. If it is gone or damaged, the last good keys stay, and `/health`
      says so. Without both, the environment variable `SERVICEKIT_API_KEYS` has such an array.
    - `open_paths`: paths that need no key; `/static/*` opens all that is below `/static`.
    - `open_docs`: whether the pages of the API's documentation need no key either. What they tell is the shape of the
      API and the names of tasks.

    Middleware of your own sees requests before they are refused. So CORS answers its preflights, and 401 has its
    headers. `ConfigurationError` for keys and paths that make no sense, and for a second `Auth`.
    """

    def __init__(
        self,
        api_keys: Sequence[ApiKey] | None = None,
        *,
        key_file: str | os.PathLike[str] | None = None,
        open_paths: Sequence[str] = (_HEALTH_PATH,),
        open_docs: bool = False,
    ) -> None:
        self._api_keys = None if api_keys is None else list(api_keys)
        self._key_file = key_file
        self._open_paths = check_open_paths(open_paths)
        self._open_docs = open_docs

    def install(self, app: FastAPI) -> None:
        state = service_state(app)
        if state.guard is not None:
            sentence = "API keys are set up a second time for this application: one with_auth(), or Auth(), is enough."
            raise ConfigurationError("auth", "a second time", sentence=sentence)
        source = open_keys(self._api_keys, self._key_file)
        state.guard = Guard(
            source,
            [*self._open_paths, *(_list_docs(app) if self._open_docs else [])],
            open_pages=state.open_pages,
        )
        if isinstance(source, KeyFile):
            state.health_checks["api keys"] = _make_check(source)
        app.add_middleware(KeyGuard, guard=state.guard, has_ticket=partial(_has_ticket, state))
        # The last in the list is the innermost, whatever is added before or after it: CORS and the log are around it.
        app.user_middleware.append(app.user_middleware.pop(0))
        document_access(app)
        Service.of(app).when_jobs_are_set_up(partial(add_ticket_route, app))


def _list_docs(app: FastAPI) -> list[str]:
    paths = (app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url)
    return [path for path in paths if path is not None]


def _has_ticket(state: ServiceState, scope: Scope) -> bool:
    # No other methods: they would go on to endpoints of the user's, if one takes all paths.
    if scope["type"] != "http" or scope["method"] not in _LOOKS or not is_stream(path_of(scope), state.jobs_prefix):
        return False
    text = take_ticket(scope)
    return text is not None and read_ticket(state, text) is not None


def _make_check(keys: KeyFile) -> HealthCheck:
    async def check() -> str | None:
        return Notice(_STALE) if keys.has_problem() else None

    return check
