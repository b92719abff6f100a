"""What clients send that no honest client would: it is answered by 4xx at once, and leaves nothing."""

import gc
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from servicekit.artifacts import Artifacts
from tests.artifacts.served import URL, connect, files_in, nested, places_of, save

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture
async def client(artifacts: Artifacts) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(artifacts) as client:
        yield client


async def post(client: httpx.AsyncClient, content: bytes, headers: dict[str, str]) -> httpx.Response:
    return await client.post(URL, content=content, headers=headers)


def part(name: str, content: bytes = b"x", more: bytes = b"") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%b"\r\n%b\r\n%b\r\n' % (name.encode(), more, content)


@pytest.mark.parametrize("depth", [201, 5_000, 100_000])
async def test_json_that_is_nested_without_end_is_422(client: httpx.AsyncClient, depth: int) -> None:
    assert places_of(await post(client, nested(depth), JSON))
    deep = b'{"data": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    assert places_of(await post(client, deep, JSON))
    assert places_of(await post(client, b'{"data": 1, "metadata": ' + b"[" * depth, JSON))
    assert places_of(await client.post(f"{URL}/$upload", params={"metadata": "[" * 5_000}, content=b"x"))
    assert (await client.get(URL)).json() == []


async def test_json_of_a_hundred_megabytes_is_413_before_it_is_read(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        for number in range(1_600):
            taken.append(number)
            yield b"[" * 65_536

    taken: list[int] = []
    response = await client.post(URL, content=body(), headers={**JSON, "Content-Length": str(1_600 * 65_536)})
    assert (response.status_code, taken) == (413, [])
    response = await client.post(URL, content=body(), headers=JSON)
    assert (response.status_code, len(taken) < 300) == (413, True)
    response = await client.post(URL, content=b"{}", headers={**JSON, "Content-Length": "9" * 5_000})
    assert response.status_code == 413


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_what_is_no_number_is_told_with_its_place(client: httpx.AsyncClient, number: str) -> None:
    body = b'{"data": {"rows": [1, {"loss": %b}]}}' % number.encode()
    assert places_of(await post(client, body, JSON)) == [["body", "data", "rows", 1, "loss"]]
    large = b'{"data": ["%b", %b, 1e999]}' % (b"x" * 100_000, number.encode())
    assert places_of(await post(client, large, JSON)) == [["body", "data", 1]]
    body = b'{"data": 1, "metadata": {"a": [%b]}}' % number.encode()
    assert places_of(await post(client, body, JSON)) == [["body", "metadata", "a", 0]]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"data": "\xff"}', b'{"data": "\\ud800"}', b'{"data": 1} x', b"\x00",
     b'{"data": 1, "metadata": {"\\ud800": 1}}', b'{"data": 1, "name": "\\ud800"}', b'{"data": 1, "tags": ["\\u0000"]}',
     b'{"data": 1, "tags": "x"}', b'{"data": 1, "kind": "\\u0000"}', b'{"data": 1, "parent_id": 7}'],
)  # fmt: skip
async def test_json_that_is_none_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    assert places_of(await post(client, body, JSON))


async def test_numbers_without_end_do_no_harm(client: httpx.AsyncClient) -> None:
    for number in (b"1" * 100_000, b"1e999999", b"0." + b"1" * 100_000):
        response = await post(client, b'{"data": ' + number + b"}", JSON)
        assert response.status_code in (201, 422)
        if response.status_code == 201:
            told = await client.get(f"{URL}/{response.json()['id']}")
            json.loads(told.content, parse_int=str, parse_float=str, parse_constant=lambda text: pytest.fail(text))


async def test_a_form_of_ten_thousand_parts_is_422(client: httpx.AsyncClient, artifacts: Artifacts) -> None:
    for name in ("tags", "x"):
        response = await post(client, part("file") + part(name) * 10_000 + b"--b--", FORM)
        assert [each["msg"] for each in response.json()["detail"]] == ["A form has at most 32 parts"]
    assert files_in(artifacts) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b--",
        b"no form at all",
        part("file"),
        part("file")[:40],
        part("kind", b"a") + b"--b--",
        part("file") * 2 + b"--b--",
        part("file", more=b"X: " + b"y" * 20_000 + b"\r\n") + b"--b--",
        part("file", more=b"X-Y: z\r\n" * 5_000) + b"--b--",
        part("file", more=b"X" * 100_000) + b"--b--",
        part("file", more=b": \r\n") + b"--b--",
        part("file") + part("metadata", b"{" * 100_000) + b"--b--",
        part("file") + part("metadata", b"nonsense") + b"--b--",
        part("file") + part("kind", b"a b") + b"--b--",
        part("file") + part("media_type", b"text/plain\r\nSet-Cookie: a") + b"--b--",
        part("file") + part("nonsense") + b"--b--",
        part("n" * 5_000) + b"--b--",
        part("file", more=b"Content-Type: text/\x00\r\n") + b"--b--",
    ],
)
async def test_a_form_that_is_none_is_422(client: httpx.AsyncClient, artifacts: Artifacts, body: bytes) -> None:
    assert places_of(await post(client, body, FORM))
    assert files_in(artifacts) == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", f"; boundary={'b' * 71}"])
async def test_a_form_without_a_boundary_is_422(client: httpx.AsyncClient, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    assert places_of(await post(client, b"--b--", headers)) == [["header", "Content-Type"]]


async def test_compressed_bodies_are_415(client: httpx.AsyncClient) -> None:
    for headers in (JSON, FORM, {}):
        response = await post(client, b"\x1f\x8b", {**headers, "Content-Encoding": "gzip"})
        assert response.status_code == 415


async def test_pages_of_other_sites_change_nothing(client: httpx.AsyncClient, artifacts: Artifacts) -> None:
    artifact_id = await save(client, 1)
    other = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    for method, path in (
        ("POST", ""), ("POST", "/$upload"), ("PUT", f"/{artifact_id}"), ("PATCH", f"/{artifact_id}"),
        ("DELETE", f"/{artifact_id}"),
    ):  # fmt: skip
        for content_type in ("text/plain", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"):
            headers = {**other, "Content-Type": content_type}
            assert (await client.request(method, f"{URL}{path}", headers=headers, content=b"{}")).status_code == 403
    assert len((await client.get(URL)).json()) == 1


async def test_bounds_hold_in_every_way_to_send(artifacts: Artifacts) -> None:
    artifacts.max_upload_bytes, artifacts.max_data_bytes = 1_000, 1_000
    async with connect(artifacts) as client:
        for extra, status in ((0, 201), (1, 413)):
            content = b"x" * (1_000 + extra)
            assert (await client.post(f"{URL}/$upload", content=content)).status_code == status
            assert (await client.post(URL, files={"file": content})).status_code == status
        assert (await post(client, json.dumps({"data": "x" * 988}).encode(), JSON)).status_code == 201
        assert (await post(client, json.dumps({"data": "x" * 989}).encode(), JSON)).status_code == 413
        assert (await client.put(f"{URL}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A", content=b"x" * 100_000)).status_code == 413
        saved = (await client.get(URL)).json()
        assert len(saved) == 3
        metadata = {"a": "x" * 17_000}
        assert places_of(await client.patch(f"{URL}/{saved[0]['id']}", json={"metadata": metadata}))


async def test_other_methods_are_405(client: httpx.AsyncClient) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await client.request(method, URL)).status_code == 405
    assert (await client.post(f"{URL}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A")).status_code == 405


async def test_a_thousand_mistakes_are_one(client: httpx.AsyncClient) -> None:
    """A million of them took seconds, in which the service answered nobody."""
    fields = {f"field {number}": number for number in range(1_000)}
    response = await client.post(URL, json={"data": 1, **fields})
    assert (response.status_code, places_of(response)) == (422, [["body"]])
    assert "1,000 values do not fit" in response.text


async def test_large_json_is_read_without_looking_for_cycles(client: httpx.AsyncClient) -> None:
    """Else the service answers nobody for four times as long."""
    body = b"[" + b"[]," * 400_000 + b"[]]"
    told = (await client.post(f"{URL}/$upload?media_type=application/json", content=body)).json()
    looked: list[object] = []
    watch = lambda phase, _: looked.append(phase)  # noqa: E731 # the same object is removed
    gc.callbacks.append(watch)
    try:
        answer = await client.get(f"{URL}/{told['id']}")
    finally:
        gc.callbacks.remove(watch)
    assert answer.content.endswith(body + b"}")
    assert len(looked) < 100
    assert gc.isenabled()
