"""The HTML: the same at every address of the dashboard, and for everybody."""

from html import escape
from typing import Final

from servicekit.web.assets import STATIC, Asset

# Nothing from elsewhere, nothing inline. `data:` is the ring in the tab that shows a job's progress.
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)
_HEADERS: Final = {"content-security-policy": _POLICY, "referrer-policy": "same-origin"}


def make_page(title: str, version: str) -> Asset:
    """The page, with addresses of the files of this version. They are relative, and right one level below the path."""
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    html = html.replace("{assets}", f"assets/{version}").replace("{title}", escape(title))
    return Asset("index.html", html.encode(), _HEADERS)
