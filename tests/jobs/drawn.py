"""Values that hypothesis draws: of many types, nested."""

from datetime import UTC, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.jobs import kinds

ZONES = st.sampled_from(
    [None, UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), timezone(timedelta(hours=5))]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5), st.dates(),
    st.datetimes(timezones=ZONES), st.timedeltas(), st.decimals(), st.uuids(), st.complex_numbers(),
    st.sampled_from([*kinds.Colour, *kinds.Level, kinds.Access.READ | kinds.Access.WRITE]),
    st.builds(kinds.Patch, name=st.text(max_size=3)), st.builds(kinds.Patch),
    st.builds(kinds.Order, itemId=st.integers()),
)  # fmt: skip


def nest(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that hold others."""
    hashable = st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers(), st.dates()))
    return st.one_of(
        st.lists(parts, max_size=3), st.tuples(parts, parts), st.dictionaries(hashable, parts, max_size=3),
        st.sets(hashable, max_size=3), st.frozensets(hashable, max_size=3),
        st.builds(kinds.Point, parts, parts), st.builds(kinds.Box, parts), st.builds(kinds.Pair, parts, parts),
        st.builds(lambda part: kinds.Page[Any](items=[part]), parts),
        st.builds(kinds.Basket, st.lists(parts, max_size=2)),
        st.builds(lambda part: kinds.Loose.model_construct(extra=part), parts),
        st.builds(lambda inner: kinds.Circle(name="c", inner=inner), st.builds(kinds.Circle)),
    )  # fmt: skip


DRAWN = st.recursive(LEAVES, nest, max_leaves=8)
