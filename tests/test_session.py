"""What holds for every run of the tests, wherever they are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from tests.docs.expected import check_text
from tests.service import ROOT, run_service


def test_a_proxy_of_the_environment_does_not_stand_before_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with run_service("tests.api.apps:app") as service:
        for host in ("127.0.0.1", "localhost"):
            assert httpx.get(f"http://{host}:{service.port}/health").status_code == 200


def test_no_verdict_depends_on_how_long_something_took() -> None:
    assert settings().deadline is None
    check_text('{"elapsed_seconds": 0.201, "error": null}', '{"elapsed_seconds": 12.857168, "error": null}')


def test_nothing_can_be_left_out_of_the_whole_suite(tmp_path: Path) -> None:
    make_program(tmp_path / "make", 'echo "$@: ${SERVICEKIT_WITHOUT-all} $SERVICEKIT_REQUIRE_ALL"')
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SERVICEKIT_WITHOUT": "nginx"}
    done = subprocess.run([ROOT / ".ci/run"], env=environment, capture_output=True, text=True, timeout=30, check=True)
    first, *others = done.stdout.splitlines()
    assert first == "test: all 1"
    room, left_out = "ROOMS=[a-z ]+", r"( ARGS=--ignore-glob=\*/test_postgres\*\.py)?"
    assert [line for line in others if not re.fullmatch(rf"test-python PYTHON=\S+ {room}{left_out}: all 1", line)] == []
    assert all("ROOMS=api engine jobs runners stores " in line for line in others[-1:])


def test_other_pythons_are_found_where_they_are(tmp_path: Path) -> None:
    minor = 12 if sys.version_info.minor != 12 else 13
    name = f"python3.{minor}"
    make_program(tmp_path / "shims" / name, "exit 127")
    for version in (9, 10):
        make_program(tmp_path / "versions" / f"3.{minor}.{version}" / "bin" / name, f"echo {minor}")
    environment = {"PATH": str(tmp_path / "shims"), "PYENV_ROOT": str(tmp_path)}
    command = [sys.executable, "tools/find_pythons.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == [str(tmp_path / "versions" / f"3.{minor}.10" / "bin" / name)]


def make_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
