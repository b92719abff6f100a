"""The tests' own reader, against the examples of the standard."""

import pytest

from tests.api.event_stream import EventStreamParser


def parse(text: bytes, size: int) -> list[tuple[str, str, str]]:
    parser = EventStreamParser()
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    return [(event.type, event.data, event.last_event_id) for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        (b"\xef\xbb\xbfevent: x\r\ndata: \xc3\xa4\r\rid: a\0b\rdata: y\n\n", [("x", "ä", ""), ("message", "y", "")]),
    ],
)
def test_the_standards_examples_are_read_as_it_says(text: bytes, size: int, events: list[tuple[str, str, str]]) -> None:
    assert parse(text, size) == events
