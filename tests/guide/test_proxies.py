"""The guide's configurations of nginx and Apache, in front of the service."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.guide.jobs import (
    TIMEOUT,
    finish,
    get_job,
    job_url,
    run_app,
    statuses,
    submit,
    submit_finished,
    wait_streams,
    write_curl_settings,
)
from tests.guide.proxies import run_apache, run_nginx
from tests.guide.quoted import fill_in
from tests.needs import needs
from tests.service import Service, run_command


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with run_app("create_app_with_short_keep_alive") as running:
        yield running


@pytest.fixture(
    scope="module",
    params=[pytest.param(run_nginx, marks=needs("nginx")), pytest.param(run_apache, marks=needs("apache"))],
    ids=["nginx", "apache"],
)
def proxy(
    request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with request.param(service, tmp_path_factory.mktemp("proxy")) as running:
        yield running


@needs("curl")
@pytest.mark.parametrize("name", ["stream_pushed.sh", "stream_less_often.sh"])
def test_each_event_passes_before_the_next_one_happens(
    service: Service, proxy: Service, tmp_path: Path, name: str
) -> None:
    job_id = submit(service)
    script = fill_in(name, url=proxy.url, job_id=job_id)
    with run_command(["bash", "-c", script], environment=write_curl_settings(tmp_path)) as terminal:
        terminal.wait_log(r'data: .*"status":"running"')
        assert get_job(service, job_id)["status"] == "running"
        finish(service, job_id)
        assert terminal.wait() == 0
    assert statuses(terminal.log) == ["running", "completed"]
    assert "HTTP 200" in terminal.log


def test_the_keep_alive_passes_while_nothing_happens(service: Service, proxy: Service) -> None:
    job_id = submit(service)
    with httpx.stream("GET", f"{job_url(proxy, job_id)}/$stream", timeout=TIMEOUT) as response:
        lines = response.iter_lines()
        assert [next(line for line in lines if line.startswith(":")) for _ in range(2)] == [": keep-alive"] * 2
        finish(service, job_id)
        assert statuses("\n".join(lines)) == ["completed"]


def test_the_headers_of_a_stream_pass(service: Service, proxy: Service) -> None:
    answer = httpx.get(f"{job_url(proxy, submit_finished(service))}/$stream")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache, no-transform"
    assert "content-encoding" not in answer.headers


def test_a_client_that_has_had_the_last_event_is_told_not_to_come_back(service: Service, proxy: Service) -> None:
    url = f"{job_url(proxy, submit_finished(service))}/$stream"
    last_event_id = httpx.get(url).text.split("id: ")[-1].split("\n")[0]
    assert httpx.get(url, headers={"Last-Event-ID": last_event_id}).status_code == 204


def test_jobs_are_listed_and_deleted_through_the_proxy(service: Service, proxy: Service) -> None:
    job_id = submit(service)
    assert httpx.get(f"{proxy.url}/api/v1/jobs").json()[0]["id"] == job_id
    with httpx.stream("GET", f"{job_url(proxy, job_id)}/$stream", timeout=TIMEOUT) as response:
        lines = response.iter_lines()
        next(line for line in lines if line.startswith("data: "))
        assert httpx.delete(job_url(proxy, job_id)).status_code == 204
        assert statuses("\n".join(lines)) == ["deleted"]
    assert httpx.get(job_url(service, job_id)).status_code == 404


def test_a_reader_that_leaves_is_noticed_behind_the_proxy(service: Service, proxy: Service) -> None:
    wait_streams(service, 0)
    with httpx.stream("GET", f"{job_url(proxy, submit(service))}/$stream") as response:
        lines = response.iter_lines()
        next(lines)
        wait_streams(service, 1)
    wait_streams(service, 0)
