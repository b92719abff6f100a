"""A form with a file (`multipart/form-data`, RFC 7578), read as it comes: in constant memory, the rest bounded."""

from collections.abc import Callable
from typing import Final

from servicekit.api.errors import mistake
from servicekit.errors import MissingExtra

# A form has a file and six fields. What has far more is no form, and each part costs as much as a small request.
MAX_PARTS: Final = 32
MAX_HEADER_BYTES: Final = 8 * 1024  # of one part: as much as servers allow a whole request
MAX_FIELD_BYTES: Final = 64 * 1024  # of all fields together; metadata have at most 16 KiB
FILE_PART: Final = "file"
_BOUNDARY_BYTES: Final = 70  # RFC 2046, section 5.1.1


class FormReader:
    """Takes the body of a form in pieces. The bytes of its file go to `write`; its other fields are kept.

    `take` blocks when `write` does. Every mistake of the client's is a 422 with its place.
    """

    def __init__(self, content_type: str, write: Callable[[bytes], object]) -> None:
        """`MissingExtra` without the package `python-multipart`, which the extra `standard` brings."""
        try:
            from python_multipart.exceptions import FormParserError
            from python_multipart.multipart import MultipartParser, parse_options_header
        except ImportError as error:
            raise MissingExtra("multipart/form-data", "standard") from error
        self.fields: list[tuple[str, str]] = []
        self.file_name: str | None = None
        self.media_type: str | None = None
        self._write = write
        self._error = FormParserError
        self._parse_options = parse_options_header
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 1 <= len(boundary) <= _BOUNDARY_BYTES:
            text = f"multipart/form-data must name its boundary, of at most {_BOUNDARY_BYTES} characters"
            raise mistake(("header", "Content-Type"), text)
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._has_file = self._has_ended = False
        self._part_count = self._field_bytes = 0
        self._begin_headers()

    def take(self, piece: bytes) -> None:
        """Read the next bytes of the body."""
        try:
            self._parser.write(piece)
        except self._error as error:
            raise mistake(("body",), f"This is no multipart/form-data: {error}") from error

    def finish(self) -> None:
        """The body has ended: the form must have ended too, and have a file."""
        if not self._has_ended:
            raise mistake(("body",), "The form has no end")
        if not self._has_file:
            raise mistake(("body", FILE_PART), "Field required", type="missing")

    # The parser calls these in turn. A header or a field can come in several pieces.

    def _begin_part(self) -> None:
        self._part_count += 1
        if self._part_count > MAX_PARTS:
            raise mistake(("body",), f"A form has at most {MAX_PARTS} parts")
        self._begin_headers()

    def _begin_headers(self) -> None:
        self._name = ""
        self._is_file = False
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._header_name, self._header_value = bytearray(), bytearray()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_value += data[start:end]

    def _count_header(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAX_HEADER_BYTES:
            raise mistake(("body",), f"The headers of a part have at most {MAX_HEADER_BYTES:,} bytes")

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = self._parse_options(self._headers.get(b"content-disposition"))
        self._name = _decode(options.get(b"name", b""))
        self._is_file = self._name == FILE_PART
        if self._is_file:
            self._begin_file(options.get(b"filename"), self._headers.get(b"content-type"))

    def _begin_file(self, name: bytes | None, media_type: bytes | None) -> None:
        if self._has_file:
            raise mistake(("body", FILE_PART), "A form has one file")
        self._has_file = True
        self.file_name = None if name is None else _decode(name)
        self.media_type = None if media_type is None else media_type.decode("latin-1")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            raise mistake(("body", self._name), f"The fields of a form have at most {MAX_FIELD_BYTES:,} bytes")
        self._value += data[start:end]

    def _end_part(self) -> None:
        if not self._is_file:
            self.fields.append((self._name, _decode(bytes(self._value))))

    def _end(self) -> None:
        self._has_ended = True


def _decode(value: bytes) -> str:
    """The text of a field or a name. Browsers send UTF-8; what is none is not refused, since a name is only shown."""
    return value.decode(errors="replace")
