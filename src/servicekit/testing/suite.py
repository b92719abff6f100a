"""What the suites share: tests that are left out, with the reason."""

from collections.abc import Mapping
from typing import ClassVar

import pytest


class Suite:
    """Tests for the authors of a part. A subclass says what it leaves out."""

    skips: ClassVar[Mapping[str, str]] = {}
    """Tests that are left out, by name, with the reason, which pytest shows."""

    def __init_subclass__(cls) -> None:
        for name in cls.skips:
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__} skips {name}, which is none of its tests")

    @pytest.fixture(autouse=True)
    def skip_with_reason(self, request: pytest.FixtureRequest) -> None:
        """Leave out what `skips` names."""
        reason = self.skips.get(request.function.__name__)
        if reason is not None:
            pytest.skip(reason)
