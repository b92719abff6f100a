"""EventSource in Node: the npm package's, and Node's own. Nobody closes it: the service must tell it when to stop."""

import re

import pytest

from tests.guide.jobs import TIMEOUT, drop_streams, finish, job_url, submit, wait_stream_answers, wait_streams
from tests.needs import FRONTEND, needs, program
from tests.service import ROOT, Service, run_command

pytestmark = needs("node", FRONTEND)

FOLLOW = ROOT / "tests/frontend/follow.js"
CLIENTS = ["package", "own"]


def command(client: str, service: Service, job_id: str) -> list[str]:
    flags = ["--no-warnings", "--experimental-eventsource"] if client == "own" else []
    return [program("node"), *flags, str(FOLLOW), client, f"{job_url(service, job_id)}/$stream"]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_follows_to_the_end_and_comes_back_once(service: Service, client: str) -> None:
    job_id = submit(service)
    with run_command(command(client, service, job_id)) as node:
        node.wait_log(r"message \d+ running")
        finish(service, job_id)
        assert node.wait(timeout=TIMEOUT) == 0
    told = re.sub(r"message \d+", "message", node.log).splitlines()
    assert told == ["open", "message running", "message completed", "reconnecting", "closed"]
    wait_stream_answers(service, job_id, 200, 204)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_comes_back_to_a_stream_that_broke_off(service: Service, client: str) -> None:
    job_id = submit(service)
    with run_command(command(client, service, job_id)) as node:
        node.wait_log(r"message \d+ running")
        drop_streams(service)
        wait_streams(service, 0)
        finish(service, job_id)
        assert node.wait(timeout=TIMEOUT) == 0
    assert re.findall(r"message \d+ (\w+)", node.log) == ["running", "completed"]
    wait_stream_answers(service, job_id, 200, 200, 204)
