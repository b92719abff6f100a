"""The open part of the dashboard: its page at each of its addresses, and its files."""

import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from servicekit.web.assets import Assets
from servicekit.web.page import make_page

PAGES: Final = ("queues", "schedules", "workers", "tasks")
_EXAMPLE_ID: Final = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
LOOKS: Final = ("GET", "HEAD")
_JOB_ID: Final = "[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
_PLACE: Final = re.compile(f"|/|/(?:{'|'.join(PAGES)}|{_JOB_ID}|assets/(?:[^/]+/)?(?P<file>[^/]+))")


class Site:
    """Answers for one dashboard. What it answers is the same for everybody."""

    def __init__(self, title: str, path: str) -> None:
        self._path = path
        self._assets = Assets()
        self._page = make_page(title, self._assets.version)

    @property
    def version(self) -> str:
        """Another one for other files."""
        return self._assets.version

    def list_examples(self) -> list[str]:
        """A path of each kind that belongs to the dashboard."""
        below = ["", *PAGES, _EXAMPLE_ID, "$service", "$submissions", "assets/app.js", "assets/1/app.js"]
        return [self._path, *(f"{self._path}/{each}" for each in below)]

    def is_open(self, method: str, path: str) -> bool:
        """Whether a request gets what holds no data: just what the routes of the site answer, and nothing besides."""
        is_ours = method in LOOKS and path.startswith(self._path)
        place = _PLACE.fullmatch(path, len(self._path)) if is_ours else None
        return place is not None and (place["file"] is None or self._assets.find(place["file"]) is not None)

    async def redirect(self, request: Request) -> Response:
        """From the path without a slash to that with one. It is relative, since a proxy may have cut the path."""
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{self._path.rpartition('/')[2]}/{query}", headers={"cache-control": "no-cache"})

    async def show_page(self, request: Request) -> Response:
        """The HTML, which finds out by its address what to show."""
        return self._page.answer(request)

    async def show_job(self, request: Request) -> Response:
        """The same for the page of a job. Whether there is such a job is found out by those who may know."""
        if re.fullmatch(_JOB_ID, request.path_params["job_id"]) is None:
            raise HTTPException(404)
        return self._page.answer(request)

    async def send_file(self, request: Request) -> Response:
        """A module or a style, kept by browsers for ever if the address has the version that is here."""
        asset = self._assets.find(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request, is_versioned=request.path_params.get("version") == self._assets.version)
