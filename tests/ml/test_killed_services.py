"""A service that is killed leaves nothing in the temporary directory."""

import fcntl
import os
import signal
from pathlib import Path

import httpx

from tests.ml.services import DATA
from tests.service import run_service

SERVICE = "tests.ml.command_service:app"


def test_the_directory_of_a_command_is_gone_after_the_next_start(tmp_path: Path) -> None:
    temporary, folder = tmp_path / "temporary", tmp_path / "service"
    temporary.mkdir()
    folder.mkdir()
    environment = {"TMPDIR": str(temporary), "SERVICEKIT_JOBS_URL": f"sqlite:///{folder}/jobs.db"}
    with run_service(SERVICE, environment=environment, cwd=folder) as service:
        job_id = httpx.post(f"{service.url}/api/v1/ml/$train", json={"data": DATA}).json()["job_id"]
        logs = f"{service.url}/api/v1/jobs/{job_id}/$stream?logs=true"
        with httpx.stream("GET", logs, timeout=60) as response:
            assert any('"text":"waiting"' in line for line in response.iter_lines())
        (left,) = temporary.glob("servicekit-ml-*")
        assert (left / "files" / "begun").exists()
        service.send_signal(signal.SIGKILL)
        lock = os.open(left, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the job's process is dead, too
        os.close(lock)
        assert left.exists()
    with run_service(SERVICE, environment=environment, cwd=folder) as service:
        assert not left.exists()
        record = httpx.get(f"{service.url}/api/v1/jobs/{job_id}", params={"wait": 60}, timeout=70).json()
        assert record["status"] == "failed"
        service.stop()
    assert [path.name for path in temporary.iterdir() if path.name.startswith("servicekit-ml")] == []
