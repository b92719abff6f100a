"""The files of the page, as they are sent: with a tag of their content, compressed once."""

import re
from functools import cached_property
from gzip import compress
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

STATIC: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_LEVEL: Final = 9  # once for each file and process, so that it may take its milliseconds
# Of scripts, comments are for who reads them here: they would be a fifth of what is sent. Only those that fill lines.
_COMMENTS: Final = re.compile(r"^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/[ \t]*|//[^\n]*)$", re.MULTILINE | re.DOTALL)


class Asset:
    """One file."""

    def __init__(self, name: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.content: Final = content
        self._headers = {
            "content-type": _TYPES[Path(name).suffix],
            "x-content-type-options": "nosniff",
            "vary": "accept-encoding",
            "etag": f'"{sha256(content).hexdigest()[:20]}"',
            **(headers or {}),
        }

    def answer(self, request: Request, *, is_versioned: bool = False) -> Response:
        """The file, or 304 if the browser has it. `is_versioned`: the address is of this content alone."""
        headers = {**self._headers, "cache-control": _FOREVER if is_versioned else _ASK_AGAIN}
        if self._headers["etag"] in request.headers.get("if-none-match", "").replace("W/", "").split(", "):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self._compressed, headers={**headers, "content-encoding": "gzip"})
        return Response(self.content, headers=headers)

    @cached_property
    def _compressed(self) -> bytes:
        return compress(self.content, _LEVEL, mtime=0)


class Assets:
    """The files of a folder, read once, by their names. A browser may keep those of `version` for ever."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._by_name = {
            path.name: Asset(path.name, _read(path)) for path in folder.iterdir() if path.suffix in (".css", ".js")
        }
        digest = sha256()
        for name, asset in sorted(self._by_name.items()):
            digest.update(name.encode() + b"\0" + asset.content)
        self.version: Final = digest.hexdigest()[:12]

    def find(self, name: str) -> Asset | None:
        """The file with this name."""
        return self._by_name.get(name)


def _read(path: Path) -> bytes:
    """The content as it is sent. Lines keep their numbers, so that errors in a browser lead to the source."""
    if path.suffix != ".js":
        return path.read_bytes()
    return _COMMENTS.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8")).encode()
