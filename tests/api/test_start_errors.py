"""A start that fails says why in one sentence."""

import subprocess
import sys
from pathlib import Path

from tests.needs import needs
from tests.postgres import PostgresServer

SERVICE = """
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts

def fail(app):
    raise ZeroDivisionError

builder = ServiceBuilder(info=ServiceInfo(display_name="Bakery")).with_jobs().with_artifacts(Artifacts("artifacts"))
app, faulty = builder.build(), builder.on_startup(fail).build()
"""


def serve(folder: Path, url: str, app: str = "app") -> list[str]:
    """What uvicorn says about a service that does not start, without its first lines."""
    (folder / "service.py").write_text(SERVICE)
    command = [sys.executable, "-m", "uvicorn", f"service:{app}", "--port", "0"]
    done = subprocess.run(
        command, cwd=folder, env={"SERVICEKIT_JOBS_URL": url}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 3
    return [line.removeprefix("ERROR:").strip() for line in done.stderr.splitlines()[2:]]


def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path) -> None:
    reason, end = serve(tmp_path, "sqlite:////proc/1/nowhere/jobs.db")
    assert "/proc/1/nowhere/jobs.db cannot be used: its folder cannot be written" in reason
    assert end == "Application startup failed. Exiting."


@needs("postgresql")
def test_a_database_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, postgres: PostgresServer) -> None:
    reason, end = serve(tmp_path, postgres.url("nowhere"))
    assert "the server has no such database" in reason
    assert end == "Application startup failed. Exiting."


def test_a_bug_in_the_start_is_told_with_its_traceback(tmp_path: Path) -> None:
    lines = serve(tmp_path, "sqlite:///jobs.db", "faulty")
    assert "Traceback (most recent call last):" in lines
    assert "raise ZeroDivisionError" in "\n".join(lines)
