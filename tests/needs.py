"""What a test needs beyond Python. Where that is missing, the test is skipped by name, with the command that helps.

    @needs("nginx")
    async def test_events_pass_nginx_one_by_one() -> None:
        subprocess.Popen([program("nginx"), ...])

`SERVICEKIT_REQUIRE_ALL=1` makes a missing need an error instead, and `SERVICEKIT_WITHOUT="chromium nginx"` leaves
tests out although they could run.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.system_packages import PROGRAMS, find_program, install_command

FRONTEND = "frontend"
"""The need for the npm packages of tests/frontend."""
RAY = "ray"
"""The need for the extra `ray`, which is not there for every Python."""

_FRONTEND_STAMP = Path(__file__).parent / "frontend" / "node_modules" / ".installed"


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test, or with `pytestmark = needs(...)` a module, unless the programs are there.

    The names are those of `tools.system_packages.PROGRAMS`, `FRONTEND` and `RAY`.
    """
    reason = _why_skipped(names)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


def program(name: str) -> str:
    """The path of a program; for fixtures. The test that asked is skipped if it is missing."""
    reason = _why_skipped([name])
    path = find_program(name)
    if path is None or reason is not None:
        pytest.skip(reason or f"{name} is missing")
    return path


def _why_skipped(names: "tuple[str, ...] | list[str]") -> str | None:
    left_out = [name for name in names if name in os.environ.get("SERVICEKIT_WITHOUT", "").split()]
    if left_out:
        return f"left out: {' '.join(left_out)} (SERVICEKIT_WITHOUT)"
    missing = [name for name in names if not _is_there(name)]
    if not missing:
        return None
    reason = f"{' '.join(missing)} not installed; {_how_to_get(missing)}"
    if os.environ.get("SERVICEKIT_REQUIRE_ALL") == "1":
        pytest.fail(f"SERVICEKIT_REQUIRE_ALL=1, but {reason}", pytrace=False)
    return reason


def _is_there(name: str) -> bool:
    if name == RAY:
        return find_spec("ray") is not None
    return _FRONTEND_STAMP.exists() if name == FRONTEND else find_program(name) is not None


def _how_to_get(missing: list[str]) -> str:
    if missing == [RAY]:
        return "enable with: pip install 'servicekit[ray]'"
    programs = [name for name in missing if name in PROGRAMS]
    return f"enable with: {install_command(programs)}" if programs else "enable with: make test"
