"""What a page prints is compared with what is real, but for what is otherwise in each run."""

import pytest

from tests.docs.expected import has_text

FAST = (
    '{"elapsed_seconds": 0.201}',
    "bake|0.1",
    "at 2026-01-31T12:00:00.1Z",
    '{"process": "web-1:4711"}',
    "id: 3",
    '"version": 5',
)
SLOW = (
    '{"elapsed_seconds": 61.5}',
    "bake|12.0",
    "at 2026-11-28T09:45:24Z",
    '{"process": "a.b:7"}',
    "id: 12",
    '"version":12',
)
OTHER = (
    '{"elapsed_seconds": null}',
    "cake|0.1",
    "on 2026-01-31T12:00:00.1Z",
    '{"process": null}',
    "number: 3",
    '"version": null',
)


@pytest.mark.parametrize(("printed", "real", "other"), [*zip(FAST, SLOW, OTHER, strict=True)])
def test_a_page_need_not_be_as_fast_as_the_machine(printed: str, real: str, other: str) -> None:
    page = f"a|1\n{printed}\nb|2\n"
    assert has_text(page, f"a|1\n{real}\nb|2")
    assert not has_text(page, f"a|1\n{other}\nb|2")
    assert not has_text(page, f"a|2\n{real}\nb|2")
