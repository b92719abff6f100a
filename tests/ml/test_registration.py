"""The service says to another one that it is there, and waits for nobody."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient

from servicekit.api import ServiceBuilder
from servicekit.errors import ConfigurationError
from servicekit.ml.info import MLServiceInfo, ModelMetadata
from servicekit.ml.registration import Registration

PATIENCE_SECONDS = 60.0


class Receiver:
    """A receiver of registrations, which answers as it is told to."""

    def __init__(self) -> None:
        self.posts: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()
        self.answer: Callable[[], int] = lambda: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.posts.put((self.path, dict(self.headers), json.loads(body or "null")))
                self.send_response(receiver.answer())
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v2/services/$register"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.05])
        self.thread.start()

    def get(self) -> tuple[str, dict[str, str], Any]:
        return self.posts.get(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def client_of(registration: Registration) -> TestClient:
    info = MLServiceInfo(display_name="Dengue", model_metadata=ModelMetadata(author="Ada"))
    return TestClient(ServiceBuilder(info=info).with_feature(registration).build())


def test_a_service_posts_its_address_and_info_and_goes_on_posting(receiver: Receiver) -> None:
    registration = Registration(receiver.url, service_url="http://model:8000", key="abc", every=0.01)
    with client_of(registration):
        path, headers, body = receiver.get()
        assert path == "/v2/services/$register"
        assert headers["X-Service-Key"] == "abc"
        assert headers["Content-Type"] == "application/json"
        assert body["url"] == "http://model:8000"
        assert body["info"]["id"] == "dengue"
        assert body["info"]["model_metadata"]["author"] == "Ada"
        receiver.get()
        receiver.get()


def test_what_fails_is_tried_again(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([500, 401, 200])
    receiver.answer = lambda: next(answers, 200)
    registration = Registration(receiver.url, service_url="http://model:8000", key="secret", every=0.01)
    with caplog.at_level(logging.INFO, "servicekit.ml"), client_of(registration):
        for _ in range(5):
            receiver.get()
    assert "the answer was 500" in caplog.text
    assert "the answer was 401" in caplog.text
    assert caplog.text.count("Registered at") == 1
    assert "secret" not in caplog.text


def test_the_key_goes_to_no_other_place(receiver: Receiver) -> None:
    receiver.answer = lambda: 302
    with client_of(Registration(receiver.url, service_url="http://model:8000", key="secret", every=0.01)):
        assert {receiver.get()[0] for _ in range(2)} == {"/v2/services/$register"}


def test_nobody_waits_for_a_receiver_that_does_not_answer(receiver: Receiver) -> None:
    """The service starts, answers and stops while the receiver holds the request."""
    released = threading.Event()

    def hold() -> int:
        released.wait(PATIENCE_SECONDS)
        return 200

    receiver.answer = hold
    with client_of(Registration(receiver.url, service_url="http://model:8000")) as client:
        receiver.get()
        assert client.get("/openapi.json").status_code == 200
    released.set()


def test_a_receiver_that_is_not_there_is_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    log, listener = logging.getLogger("servicekit.ml"), Listener()
    log.addHandler(listener)
    try:
        with client_of(Registration("http://127.0.0.1:1/", service_url="http://model:8000")):
            assert told.wait(PATIENCE_SECONDS)
    finally:
        log.removeHandler(listener)
    assert "Cannot register at http://127.0.0.1:1/" in caplog.text


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "chap:8000", "", "ftp://chap/", "http://", "http://me:secret@chap/"]
)
def test_an_address_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registration(url, service_url="http://model:8000")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        Registration("http://chap:8000", service_url=url)


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"every": 0}, {"every": -1}, {"key": "a\r\nb"}):
        with pytest.raises(ConfigurationError):
            Registration("http://chap:8000", service_url="http://model:8000", **options)
