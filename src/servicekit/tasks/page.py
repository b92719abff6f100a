"""The page that lists tasks, and makes a form of the schema of each."""

import json
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from servicekit.api.state import check_free, check_path
from servicekit.tasks.places import artifacts_prefix

_HTML: Final = Path(__file__).with_name("page.html")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def add_page(app: FastAPI, path: str, *, prefix: str, jobs_prefix: str) -> None:
    """Add the page. `ConfigurationError` if there is a route at its path."""
    check_path("page", path)
    check_free("page", path, app)
    page = _HTML.read_text(encoding="utf-8")
    # Relative to the page, so that they are right behind a proxy and in a mounted application, whatever is in front.
    up = "../" * (path.count("/") - 1)

    async def show_page() -> HTMLResponse:
        places = {"tasks": prefix, "jobs": jobs_prefix, "artifacts": artifacts_prefix(app)}
        paths = {name: f"{up}{place.removeprefix('/')}" for name, place in places.items() if place is not None}
        return HTMLResponse(page.replace("/*PATHS*/{}", json.dumps(paths)), headers=_HEADERS)

    app.router.add_api_route(path, show_page, include_in_schema=False)
