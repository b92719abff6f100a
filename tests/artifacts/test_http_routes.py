"""The routes of artifacts, as clients use them."""

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from servicekit.api import Jobs, ServiceBuilder, ServiceInfo, install
from servicekit.artifacts import Artifacts, Hierarchy, Table
from servicekit.artifacts.feature import artifacts_of
from servicekit.errors import ConfigurationError
from tests.artifacts.served import URL, connect, places_of, save, service

LARGE = {"text": "ä" * 70_000}
"""JSON that is too large for a row."""


async def test_json_is_saved_with_what_is_said_of_it(artifacts: Artifacts) -> None:
    envelope = {
        "data": {"loss": [0.5, None]},
        "kind": "report",
        "name": "loss.json",
        "metadata": {"a": 1},
        "tags": ["x"],
    }
    async with connect(artifacts) as client:
        response = await client.post(URL, json=envelope)
        told = response.json()
        assert (response.status_code, response.headers["location"]) == (201, f"{URL}/{told['id']}")
        assert {key: told[key] for key in ("kind", "name", "metadata", "tags")} == {
            key: envelope[key] for key in ("kind", "name", "metadata", "tags")
        }
        assert (told["origin"], told["media_type"], told["level"], told["parent_id"]) == (
            "upload",
            "application/json",
            0,
            None,
        )
        assert (await client.get(f"{URL}/{told['id']}")).json() == {**told, "data": {"loss": [0.5, None]}}


@pytest.mark.parametrize(
    "value", [None, 0, "text", [], {}, True, LARGE, ["NaN", LARGE], {"a": [1, 2.5, {"b": "\u2028"}]}]
)
async def test_any_json_comes_back_as_data(artifacts: Artifacts, value: object) -> None:
    async with connect(artifacts) as client:
        for _ in range(2):  # the second time it is known to be JSON
            assert (await client.get(f"{URL}/{await save(client, value)}")).json()["data"] == value


async def test_bytes_are_saved_as_they_are(artifacts: Artifacts) -> None:
    content = bytes(range(256))
    query = {"kind": "image", "name": "../a\nb.png", "metadata": '{"a": [1]}', "tags": ["x", "y"]}
    async with connect(artifacts) as client:
        response = await client.post(URL, content=content, params=query, headers={"Content-Type": "image/png"})
        told = response.json()
        assert response.status_code == 201
        assert (told["kind"], told["name"], told["media_type"]) == ("image", "ab.png", "image/png")
        assert (told["metadata"], told["tags"]) == ({"a": [1]}, ["x", "y"])
        assert (told["size"], told["sha256"]) == (256, hashlib.sha256(content).hexdigest())
        assert (await client.get(f"{URL}/{told['id']}")).json()["data"] is None
        assert (await client.get(f"{URL}/{told['id']}/$download")).content == content


@pytest.mark.parametrize(
    ("query", "headers", "media_type"),
    [
        ({}, {}, "application/octet-stream"),
        ({"name": "a.csv"}, {}, "text/csv"),
        ({"name": "a.csv.gz"}, {}, "application/octet-stream"),
        ({"name": "a.csv"}, {"Content-Type": "application/octet-stream"}, "text/csv"),
        ({"name": "a.csv", "media_type": "application/octet-stream"}, {}, "application/octet-stream"),
        ({}, {"Content-Type": "application/x-www-form-urlencoded"}, "application/octet-stream"),
        ({"name": "a.csv"}, {"Content-Type": "text/plain; charset=utf-8"}, "text/plain; charset=utf-8"),
        ({"media_type": "text/x-r"}, {"Content-Type": "text/plain"}, "text/x-r"),
    ],
)
async def test_the_media_type_is_what_is_said_first(
    artifacts: Artifacts, query: dict[str, str], headers: dict[str, str], media_type: str
) -> None:
    async with connect(artifacts) as client:
        response = await client.post(f"{URL}/$upload", content=b"x", params=query, headers=headers)
        assert response.json()["media_type"] == media_type


async def test_a_form_has_a_file_and_fields(artifacts: Artifacts) -> None:
    fields = {"kind": "table", "metadata": '{"a": 1}', "tags": ["x", "y"], "parent_id": "", "media_type": ""}
    async with connect(artifacts) as client:
        file = ("C:\\data\\größe.csv", b"a,b\r\n1,2\r\n", "text/csv")
        told = (await client.post(URL, data=fields, files={"file": file})).json()
        assert (told["kind"], told["name"], told["media_type"]) == ("table", "größe.csv", "text/csv")
        assert (told["metadata"], told["tags"], told["origin"]) == ({"a": 1}, ["x", "y"], "upload")
        assert (await client.get(f"{URL}/{told['id']}/$download")).content == b"a,b\r\n1,2\r\n"


async def test_an_empty_body_is_an_empty_file(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        told = (await client.post(f"{URL}/$upload")).json()
        assert told["size"] == 0
        assert (await client.get(f"{URL}/{told['id']}/$download")).content == b""


async def test_upload_takes_json_and_forms_as_they_are(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        for media_type, content, data in (
            ("application/json", b'{ "a" : 1 }', {"a": 1}),
            ("application/json", b"NaN", None),
            ("application/json", b"[" * 70_000, None),
            ("multipart/form-data; boundary=x", b"--x--", None),
        ):
            response = await client.post(f"{URL}/$upload", content=content, headers={"Content-Type": media_type})
            told = response.json()
            assert told["media_type"] == media_type
            assert (await client.get(f"{URL}/{told['id']}")).json()["data"] == data
            assert (await client.get(f"{URL}/{told['id']}/$download")).content == content


async def test_json_that_is_too_large_to_be_shown_is_downloaded(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, max_data_bytes=70_000)
    async with connect(artifacts) as client:
        large = artifacts_saved = await client.post(
            f"{URL}/$upload", content=json.dumps(LARGE), headers={"Content-Type": "application/json"}
        )
        assert (await client.get(f"{URL}/{large.json()['id']}")).json()["data"] is None
        assert (await client.get(f"{URL}/{artifacts_saved.json()['id']}/$download")).json() == LARGE


async def test_artifacts_of_code_are_shown_like_those_of_clients(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        table = await artifacts.aio.save(Table(["a"], [[1], [None]]), kind="data")
        text = await artifacts.aio.save("text", parent=table)
        told = (await client.get(f"{URL}/{table.id}")).json()
        assert (told["origin"], told["data"]) == ("code", {"columns": ["a"], "data": [[1], [None]]})
        assert (await client.get(f"{URL}/{text.id}")).json()["parent_id"] == table.id


async def test_lists_have_filters_and_pages_and_no_content(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        ids = [await save(client, number, kind="even" if number % 2 == 0 else "odd", tags=["t"]) for number in range(5)]
        child = await save(client, 5, parent_id=ids[0])
        everything = (await client.get(URL)).json()
        assert [each["id"] for each in everything] == [child, *reversed(ids)]
        assert all("data" not in each for each in everything)
        for query, expected in (
            ({"kind": "odd"}, [ids[3], ids[1]]),
            ({"parent": ids[0]}, [child]),
            ({"tag": "t", "kind": "even"}, [ids[4], ids[2], ids[0]]),
            ({"job": ids[0]}, []),
        ):
            assert [each["id"] for each in (await client.get(URL, params=query)).json()] == expected
        pages: list[str] = []
        url: str | None = f"{URL}?kind=even&limit=2"
        while url is not None:
            response = await client.get(url)
            pages += [each["id"] for each in response.json()]
            url = response.links.get("next", {}).get("url")
        assert pages == [ids[4], ids[2], ids[0]]


async def test_a_tree_is_nested_and_comes_in_pages(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        root = await save(client, 0)
        left, right = await save(client, 1, parent_id=root), await save(client, 2, parent_id=root)
        below = await save(client, 3, parent_id=left)
        tree = (await client.get(f"{URL}/{root}/$tree")).json()
        assert (tree["id"], [each["id"] for each in tree["children"]]) == (root, [left, right])
        assert ([each["id"] for each in tree["children"][0]["children"]], tree["children"][1]["children"]) == (
            [below],
            [],
        )
        first = await client.get(f"{URL}/{root}/$tree?limit=2")
        assert [each["id"] for each in first.json()["children"]] == [left]
        rest = await client.get(first.links["next"]["url"])
        assert [(each["id"], each["parent_id"]) for each in rest.json()] == [(right, root), (below, left)]
        assert "next" not in rest.links
        assert [each["id"] for each in (await client.get(f"{URL}/{below}/$ancestors")).json()] == [root, left, below]


async def test_a_deep_tree_is_nested_as_far_as_clients_can_read_it(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        ids = [await save(client)]
        for _ in range(70):
            ids.append(await save(client, parent_id=ids[-1]))
        response = await client.get(f"{URL}/{ids[0]}/$tree")
        node, found = response.json(), []
        while node is not None:
            found.append(node["id"])
            node = next(iter(node["children"]), None)
        assert len(found) == 64
        while "next" in response.links:
            response = await client.get(response.links["next"]["url"])
            found += [each["id"] for each in response.json()]
        assert found == ids


async def test_metadata_and_tags_change_and_content_does_not(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        url = f"{URL}/{await save(client, 1, metadata={'a': 1}, tags=['x'])}"
        assert (await client.patch(url, json={"tags": ["y"]})).json()["tags"] == ["y"]
        assert (await client.put(url, json={"metadata": {"b": 2}})).json()["metadata"] == {"b": 2}
        assert (await client.get(f"{url}/$metadata")).json() == {"b": 2}
        told = (await client.get(url)).json()
        assert (told["tags"], told["data"]) == (["y"], 1)
        assert places_of(await client.put(url, json={"data": 2})) == [["body", "data"]]
        assert places_of(await client.put(url, json={"tags": ["x\n"]})) == [["body", "tags", 0]]
        assert (await client.put(f"{URL}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A", json={})).status_code == 404


async def test_what_others_stand_on_is_deleted_only_with_them(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        root = await save(client, 1)
        below = await save(client, 2, parent_id=root)
        assert (await client.delete(f"{URL}/{root}")).status_code == 409
        assert (await client.delete(f"{URL}/{root}?recursive=true")).status_code == 204
        for artifact_id in (root, below):
            response = await client.get(f"{URL}/{artifact_id}")
            assert (response.status_code, response.json()) == (404, {"detail": "Artifact not found"})
        assert (await client.delete(f"{URL}/{root}")).status_code == 404


async def test_hierarchies_hold_for_clients(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, hierarchy=Hierarchy("ml", ["model", "prediction"]))
    async with connect(artifacts) as client:
        model = await save(client, 1, kind="model")
        prediction = await save(client, 2, kind="prediction", parent_id=model)
        told = (await client.get(f"{URL}/{prediction}/$expand")).json()
        assert (told["level"], told["level_label"], told["data"]) == (1, "prediction", 2)
        for envelope in ({"kind": "prediction"}, {"kind": "model", "parent_id": model}):
            response = await client.post(URL, json={"data": 1, **envelope})
            assert (response.status_code, "hierarchy" in response.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("PUT", ""),
        ("DELETE", ""),
        *(("GET", f"/{name}") for name in ("$tree", "$ancestors", "$expand", "$metadata", "$download")),
    ],
)
async def test_unknown_ids_are_404_and_others_400(artifacts: Artifacts, method: str, path: str) -> None:
    async with connect(artifacts) as client:
        for artifact_id, status in (("01JQRS7XK5N8Z3VQ2M4T6W8Y0A", 404), ("no-ulid", 400), ("%0d%0a", 400)):
            response = await client.request(method, f"{URL}/{artifact_id}{path}", content=b"{}")
            assert response.status_code == status
        saved = await artifacts.aio.save(1)
        assert (await client.request(method, f"{URL}/{saved.id.lower()}{path}", content=b"{}")).status_code < 300


async def test_mistakes_are_told_with_their_place(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        for envelope, place in (
            ({}, ["body", "data"]),
            ({"data": 1, "colour": "red"}, ["body", "colour"]),
            ({"data": 1, "kind": "a b"}, ["body", "kind"]),
            ({"data": 1, "metadata": [1]}, ["body", "metadata"]),
            ({"data": 1, "tags": ["x", ""]}, ["body", "tags", 1]),
            ({"data": 1, "media_type": "text/plain"}, ["body", "media_type"]),
        ):
            assert places_of(await client.post(URL, json=envelope)) == [place]
        for query, place in (
            ({"metadata": "{"}, ["query", "metadata"]),
            ({"kind": "a b"}, ["query", "kind"]),
            ({"parent": "x"}, ["query", "parent"]),
        ):
            assert places_of(await client.post(f"{URL}/$upload", params=query, content=b"x")) == [place]
        assert places_of(await client.get(URL, params={"cursor": "x"})) == [["query", "cursor"]]
        assert places_of(await client.get(URL, params={"parent_id": "x"})) == [["query", "parent_id"]]
        assert (await client.get(URL, params={"parent": "x"})).status_code == 400
        unknown = {"parent_id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"}
        assert (await client.post(f"{URL}/$upload", params=unknown, content=b"x")).status_code == 404
        assert (await client.post(URL, json={"data": 1, **unknown})).status_code == 404
        assert (await client.post(URL, json={"data": 1, "parent_id": "x"})).status_code == 400
        assert (await client.get(URL)).json() == []


async def test_stats_count_by_kind(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        for value in ("a", "a", "b"):
            await save(client, value, kind="text")
        await save(client, 1)
        assert (await client.get(f"{URL}/$stats")).json() == {
            "count": 4,
            "bytes": 7,
            "by_kind": {"artifact": {"count": 1, "bytes": 1}, "text": {"count": 3, "bytes": 6}},
        }


async def test_the_schema_is_that_of_what_is_answered(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        told = (await client.get(f"{URL}/{await save(client, 1)}")).json()
        assert [*(await client.get(f"{URL}/$schema")).json()["properties"]] == [*told]


def test_the_document_has_every_route(artifacts: Artifacts) -> None:
    document = service(artifacts).openapi()
    validate(document)
    paths = {path: item for path, item in document["paths"].items() if path.startswith(URL)}
    assert {operation["operationId"] for item in paths.values() for operation in item.values()} == {
        "listArtifacts", "createArtifact", "uploadArtifact", "getArtifactSchema", "getArtifactStats", "getArtifact",
        "updateArtifact", "patchArtifact", "deleteArtifact", "getArtifactTree", "listArtifactAncestors",
        "expandArtifact", "getArtifactMetadata", "downloadArtifact",
    }  # fmt: skip
    assert "artifacts" in [tag["name"] for tag in document["tags"]]


def test_features_come_in_any_order(tmp_path: Path) -> None:
    before, after = FastAPI(), FastAPI()
    install(before, Artifacts(tmp_path / "a", prefix="/files"), Jobs("memory://", prefix="/jobs"))
    install(after, Jobs("memory://", prefix="/jobs"))
    install(after, Artifacts(tmp_path / "b"))
    assert "/files/{artifact_id}" in before.openapi()["paths"]
    assert "/artifacts/{artifact_id}" in after.openapi()["paths"]
    assert artifacts_of(after).address == str(tmp_path / "b")


async def test_what_makes_no_sense_is_refused(artifacts: Artifacts, tmp_path: Path) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Without jobs"))
    app = builder.with_feature(artifacts).build()
    with pytest.raises(ConfigurationError, match="with_jobs"):
        async with app.router.lifespan_context(app):
            pass
    with pytest.raises(ConfigurationError, match="already"):
        service(artifacts, Artifacts(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match="begins with a slash"):
        service(Artifacts(tmp_path / "other", prefix="files"))
    with pytest.raises(ConfigurationError, match="with_artifacts"):
        artifacts_of(FastAPI())


async def test_two_services_of_one_process_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = Artifacts(tmp_path / "one"), Artifacts(tmp_path / "other")
    async with connect(one) as client, connect(other) as others_client:
        artifact_id = await save(client, 1)
        assert (await others_client.get(f"{URL}/{artifact_id}")).status_code == 404
        assert (await others_client.get(URL)).json() == []
        assert len((await client.get(URL)).json()) == 1


async def test_one_application_after_the_other_has_the_same_artifacts(artifacts: Artifacts) -> None:
    async with connect(artifacts) as client:
        artifact_id = await save(client, 1)
    async with connect(artifacts) as client:
        assert (await client.get(f"{URL}/{artifact_id}")).json()["data"] == 1


async def test_addresses_fit_a_proxy_in_front(artifacts: Artifacts) -> None:
    app = service(artifacts)
    transport = httpx.ASGITransport(app=app, root_path="/train")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test/train") as client,
    ):
        saved = [await client.post(f"{URL}", json={"data": number}) for number in range(2)]
        assert saved[0].headers["location"] == f"/train{URL}/{saved[0].json()['id']}"
        assert (await client.get(f"{URL}?limit=1")).links["next"]["url"].startswith(f"/train{URL}?")
