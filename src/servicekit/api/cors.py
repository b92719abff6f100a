"""The CORS feature: it allows pages of other origins."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from servicekit.api.features import Passive
from servicekit.errors import ConfigurationError


class Cors(Passive):
    """Lets pages of other origins call the service and open its streams.

    - `allow_origins`: such as `["https://app.example.com"]`; `["*"]` for every origin.
    - `allow_credentials`: whether browsers send cookies along. They demand named origins for that.

    `ConfigurationError` for origins that are no list, and for `"*"` with credentials.
    """

    def __init__(self, *, allow_origins: Sequence[str], allow_credentials: bool = False) -> None:
        if isinstance(allow_origins, str):
            raise ConfigurationError("allow_origins", allow_origins, "a list of origins")
        if allow_credentials and "*" in allow_origins:
            raise ConfigurationError("allow_origins", list(allow_origins), "named origins if credentials are allowed")
        self._allow_origins = list(allow_origins)
        self._allow_credentials = allow_credentials

    def install(self, app: FastAPI) -> None:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=self._allow_origins,
            allow_credentials=self._allow_credentials,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Location", "Link", "X-Request-ID", "Preference-Applied", "Retry-After"],
        )
