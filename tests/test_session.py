"""What holds for every run of the tests, wherever they are run."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.service import ROOT, run_service


def test_a_proxy_of_the_environment_does_not_stand_before_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with run_service("tests.api.apps:app") as service:
        for host in ("127.0.0.1", "localhost"):
            assert httpx.get(f"http://{host}:{service.port}/health").status_code == 200


def test_nothing_can_be_left_out_of_the_whole_suite(tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$@: ${SERVICEKIT_WITHOUT-all} $SERVICEKIT_REQUIRE_ALL"\n')
    make.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SERVICEKIT_WITHOUT": "nginx"}
    done = subprocess.run([ROOT / ".ci/run"], env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "test: all 1\n"
