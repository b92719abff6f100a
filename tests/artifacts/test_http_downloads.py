"""Downloads: exact bytes, parts of them, and headers that nobody can bend."""

from urllib.parse import unquote

import httpx
import pytest

from servicekit.artifacts import Artifacts
from tests.artifacts.served import URL, connect

CONTENT = bytes(range(200)) * 5_000
"""A million bytes: several pieces."""


async def upload(client: httpx.AsyncClient, content: bytes = b"0123456789", **query: str) -> str:
    response = await client.post(f"{URL}/$upload", content=content, params=query)
    assert response.status_code == 201, response.text
    return f"{URL}/{response.json()['id']}/$download"


async def test_every_byte_comes_back(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        response = await client.get(await upload(client, CONTENT))
        assert response.content == CONTENT
        assert response.headers["content-length"] == "1000000"
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-disposition"].startswith("attachment; ")
        assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-5", 2, 6),
        ("bytes=300000-700000", 300_000, 700_001),
        ("bytes=999999-", 999_999, 1_000_000),
        ("bytes=5-99999999999999999", 5, 1_000_000),
        ("bytes=-3", 999_997, 1_000_000),
        ("bytes=-99999999999", 0, 1_000_000),
        ("BYTES = 2 - 5", 2, 6),
    ],
)
async def test_a_range_is_a_part(artifacts: Artifacts, asked: str, start: int, stop: int) -> None:
    async with connect(artifacts) as client:
        response = await client.get(await upload(client, CONTENT), headers={"Range": asked})
        assert (response.status_code, response.content) == (206, CONTENT[start:stop])
        assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/1000000"
        assert response.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "asked",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=0-1-2",
        "bytes=--1", "bytes=1", "bytes=+1-2", "bytes=1_0-20", "bytes=" + "9" * 5_000 + "-", "bytes=0x0-", "\u0661",
    ],
)  # fmt: skip
async def test_a_range_that_is_not_understood_is_ignored(artifacts: Artifacts, asked: str) -> None:
    async with connect(artifacts) as client:
        response = await client.get(await upload(client), headers={b"Range": asked.encode()})
        assert (response.status_code, response.content) == (200, b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999999999-"])
async def test_a_range_behind_the_end_is_416(artifacts: Artifacts, asked: str) -> None:
    async with connect(artifacts) as client:
        response = await client.get(await upload(client), headers={"Range": asked})
        assert (response.status_code, response.headers["content-range"]) == (416, "bytes */10")
        empty = await client.get(await upload(client, b""), headers={"Range": "bytes=0-"})
        assert (empty.status_code, empty.headers["content-range"]) == (416, "bytes */0")


async def test_a_part_is_given_only_of_the_content_that_the_client_has(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client)
        etag = (await client.get(url)).headers["etag"]
        for if_range, status in (
            (etag, 206),
            ('"other"', 200),
            (f"W/{etag}", 200),
            ("Sat, 28 Nov 2026 18:00:00 GMT", 200),
        ):
            response = await client.get(url, headers={"Range": "bytes=1-2", "If-Range": if_range})
            assert response.status_code == status


async def test_what_the_client_has_is_not_sent_again(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client)
        etag = (await client.get(url)).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            response = await client.get(url, headers={"If-None-Match": known})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
        for other in ('"other"', "nonsense", etag.strip('"')):
            assert (await client.get(url, headers={"If-None-Match": other})).status_code == 200


async def test_head_tells_what_get_would(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client, name="a.txt")
        got, told = await client.get(url), await client.head(url)
        assert (told.status_code, told.content) == (200, b"")
        assert dict(told.headers) == dict(got.headers)
        assert (await client.head(url, headers={"Range": "bytes=1-2"})).status_code == 200
        record = url.removesuffix("/$download")
        assert (await client.head(record)).headers["content-length"] == str(len((await client.get(record)).content))
        large = await client.post(URL, json={"data": "x" * 70_000})
        record = f"{URL}/{large.json()['id']}"
        told = await client.head(record)
        assert (told.content, told.headers["content-length"]) == (b"", str(len((await client.get(record)).content)))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("größe 1.csv", "größe 1.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("/", None),
        ("..", None),
        (".bashrc", "bashrc"),
        ("a\r\nSet-Cookie: x=1.txt", "aSet-Cookie: x=1.txt"),
        ("a\x00b\x7f.txt", "ab.txt"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("a\u2028b.txt", "ab.txt"),
        ('a"; filename="b.txt', 'a"; filename="b.txt'),
        ("a;b%41.txt", "a;b%41.txt"),
        ("日本.txt", "日本.txt"),
        ("n" * 300 + ".txt", "n" * 200),
    ],
)
async def test_a_name_has_no_path_and_bends_no_header(artifacts: Artifacts, name: str, kept: str | None) -> None:
    async with connect(artifacts) as client:
        url = await upload(client, name=name)
        assert (await client.get(url.removesuffix("/$download"))).json()["name"] == kept
        headers = (await client.get(url)).headers
        assert "set-cookie" not in headers
        value = headers["content-disposition"]
        assert value.isascii()
        assert value.isprintable()
        assert value.count('"') == 2
        if kept is None:
            assert value.startswith('attachment; filename="01')
        elif "filename*" in value:
            assert unquote(value.partition("filename*=UTF-8''")[2]) == kept
        else:
            assert value == f'attachment; filename="{kept}"'


async def test_names_that_code_has_chosen_are_cleaned_too(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        saved = await artifacts.aio.save(b"x", name="../a/b.txt")
        unnamed = await artifacts.aio.save(b"x", media_type="text/csv")
        response = await client.get(f"{URL}/{saved.id}/$download")
        assert response.headers["content-disposition"] == 'attachment; filename="b.txt"'
        response = await client.get(f"{URL}/{unnamed.id}/$download")
        assert response.headers["content-disposition"] == f'attachment; filename="{unnamed.id}.csv"'


@pytest.mark.parametrize(
    "media_type",
    [
        "text", "text/", "/plain", "text/plain\r\nSet-Cookie: a=1", "text/plain\n", "text/pl ain", "text/plain;",
        "tëxt/plain", "text/plain; charset=\x00", "a" * 300 + "/b", "text/<script>", "text/plain, text/html",
        "; charset=utf-8",
    ],
)  # fmt: skip
async def test_a_media_type_is_one_or_refused(artifacts: Artifacts, media_type: str) -> None:
    async with connect(artifacts) as client:
        response = await client.post(f"{URL}/$upload", params={"media_type": media_type}, content=b"x")
        assert response.status_code == 422, response.text
        header = await client.post(f"{URL}/$upload", headers={b"Content-Type": media_type.encode()}, content=b"x")
        assert header.status_code in (201, 422)
        if header.status_code == 201:  # a header has no spaces around it, and no media type at all is one of bytes
            assert header.json()["media_type"] in ("text/plain", "application/octet-stream")
        assert (await client.post(URL, json={"data": 1, "media_type": media_type})).status_code == 422


async def test_html_is_a_file_to_be_kept(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client, b"<script>alert(1)</script>", media_type="text/html", name="a.html")
        headers = (await client.get(url)).headers
        assert (headers["content-type"], headers["x-content-type-options"]) == ("text/html", "nosniff")
        assert headers["content-disposition"] == 'attachment; filename="a.html"'


async def test_a_download_goes_on_when_the_artifact_is_deleted(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client, CONTENT)
        async with client.stream("GET", url) as response:
            await client.delete(url.removesuffix("/$download"))
            assert await response.aread() == CONTENT
        assert (await client.get(url)).status_code == 404


async def test_a_content_that_is_lost_is_told(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = await upload(client, CONTENT)
        artifact = await artifacts.aio.get(url.split("/")[-2])
        artifacts.storage.blobs.plan_removal(artifact.sha256)()
        response = await client.get(url)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert artifacts.address not in response.text
