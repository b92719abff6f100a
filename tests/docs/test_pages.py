"""README and docs/ as a whole: their links, and that they tell of everything there is."""

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import servicekit
import servicekit.api
from servicekit import InMemoryScheduler, Retention
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.api.job_responses import JobDetails
from servicekit.artifacts import Artifacts
from servicekit.artifacts.responses import ArtifactRecord
from servicekit.engine.options import SchedulerOptions
from servicekit.jobs.current import CurrentJob
from servicekit.jobs.options import OptionChanges
from servicekit.jobs.status import TRANSITIONS
from tests.docs.pages import PAGES, ROOT, list_headings

DOCS = ROOT / "docs"
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
_LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")


def links_of(page: Path) -> Iterator[tuple[Path, str | None]]:
    for match in _LINK.finditer(page.read_text()):
        yield (page.parent / match["path"]).resolve() if match["path"] else page, match["anchor"]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub and its like make of headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in list_headings(page)}


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in links_of(page):
        assert target.exists(), target
        assert anchor is None or anchor in anchors_of(target), f"{target}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    to_visit = {ROOT / "README.md"}
    while to_visit:
        page = to_visit.pop()
        reached.add(page)
        to_visit |= {target for target, _ in links_of(page) if target in PAGES} - reached
    assert reached == set(PAGES)


@EVERY_PAGE
def test_no_page_installs_the_other_servicekit(page: Path) -> None:
    assert not re.search(r"install (-\S+ )*[\"']?servicekit(\[\w+\])?[\"']?(\s|`|$)", page.read_text())


def test_every_station_of_the_walks_is_there_and_named_once() -> None:
    walks = (DOCS / "architecture.md").read_text().split("<!-- walk -->")[1:]
    assert len(walks) == 2
    for walk in walks:
        stations = re.findall(r"^\| (\d+) \| `(\S+)` \| `(\S+)` \|", walk.split("\n#")[0], re.MULTILINE)
        assert [int(number) for number, _, _ in stations] == [*range(1, len(stations) + 1)]
        assert len({station[1:] for station in stations}) == len(stations) > 10
        for _, path, name in stations:
            tree: ast.AST = ast.parse((ROOT / "src/servicekit" / path).read_text())
            for part in name.split("."):
                tree = next(node for node in ast.iter_child_nodes(tree) if getattr(node, "name", None) == part)


def test_the_list_of_transitions_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    assert {(source, name): target for source, name, target in rows} == {
        (str(source), str(name)): str(target) for (source, name), target in TRANSITIONS.items()
    }


def test_the_routes_page_has_every_route_parameter_and_status(tmp_path: Path) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs().with_health().with_monitoring()
    app = builder.with_artifacts(Artifacts(tmp_path)).build()
    sections = dict(re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", (DOCS / "api.md").read_text(), re.MULTILINE | re.DOTALL))
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            section = sections[f"{method.upper()} {path}"]
            for status in operation["responses"]:
                assert f"\n| {status} | " in section, f"{method} {path} {status}"
            for parameter in operation.get("parameters", []):
                name = parameter["name"].title() if parameter["in"] == "header" else parameter["name"]
                assert parameter["in"] == "path" or f"`{name}`".replace("-Id`", "-ID`") in section, name


def test_the_routes_page_has_every_field_of_a_record() -> None:
    _, of_jobs, of_artifacts = (DOCS / "api.md").read_text().split("\n## The record")
    assert _fields_in(of_jobs) == list(JobDetails.__match_args__)
    assert _fields_in(of_artifacts) == list(ArtifactRecord.model_fields)


def _fields_in(section: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)


def test_the_guide_has_every_option_and_metric() -> None:
    guide = (DOCS / "guide.md").read_text()
    parameters = inspect.signature(ServiceBuilder.with_jobs).parameters.keys() - {"self", "options"}
    for name in [*parameters, *inspect.signature(SchedulerOptions).parameters]:
        assert f"| `{name}` | " in guide, name
    for name in [*inspect.signature(Retention).parameters, *_public_methods(ServiceBuilder)]:
        assert name in guide, name
    app = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs().with_monitoring().build()
    with TestClient(app) as client:
        metrics = re.findall(r"^# TYPE (jobs?_\w+)", client.get("/metrics").text, re.MULTILINE)
    for name in (name for name in metrics if not name.endswith("_created")):
        assert f"`{name}" in guide, name


def test_the_guide_has_the_retention_that_is_the_default() -> None:
    guide = (DOCS / "guide.md").read_text()
    (written,) = re.findall(r"retention=(Retention\(.*\)),$", guide, re.MULTILINE)
    assert eval(written, {"Retention": Retention, "timedelta": timedelta}) == Retention()


def test_the_python_page_has_every_option_of_a_job() -> None:
    section = (DOCS / "python.md").read_text().partition("## Options of a job")[2].partition("\n## ")[0]
    for name in OptionChanges.__annotations__:
        assert re.search(rf"^\| .*`{name}`.* \| ", section, re.MULTILINE), name


def test_the_python_page_has_every_public_name() -> None:
    page = (DOCS / "python.md").read_text()
    documented = {*servicekit.__all__, *servicekit.api.__all__, *_public_methods(InMemoryScheduler)}
    documented |= _public_methods(CurrentJob)
    for name in documented:
        assert re.search(rf"\b{name}\b", page), name


def _public_methods(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}
