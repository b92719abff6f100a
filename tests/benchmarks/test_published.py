"""The figures in the documentation are those of a run, and of nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.against import checked_out
from benchmarks.charts import QUESTIONS, draw
from benchmarks.publish import DOCS, keep_others, publish

_FIGURE = {"ours": 12.5, "limit": 10.0, "peer": None, "unit": "µs", "rounds": {"huey": [3.0, 1.0, 2.0]}}


def test_a_chart_has_a_bar_for_each_contestant_that_was_measured() -> None:
    durable = next(question for question in QUESTIONS if "huey" in question.contestants)
    drawing = ElementTree.fromstring(draw(durable, _FIGURE))
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == durable.title
    assert texts[2:] == ["servicekit", "12.5 µs", "the limit", "10.0 µs", "Huey", "2.00 µs"]
    bars = [float(element.attrib["width"]) for element in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == sorted(bars, reverse=True)
    assert bars[1] == pytest.approx(bars[0] * 0.8, rel=0.01)


def test_what_the_page_shows_is_what_the_run_has_measured(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text((DOCS / "benchmarks.md").read_text())
    publish(json.loads((DOCS / "benchmarks" / "runs.json").read_text()), tmp_path)
    published = [Path("benchmarks.md"), *(path.relative_to(tmp_path) for path in tmp_path.glob("benchmarks/*"))]
    assert {path: (tmp_path / path).read_text() for path in published} == {
        path: (DOCS / path).read_text() for path in published
    }


def test_no_figure_is_published_from_two_runs(tmp_path: Path) -> None:
    run = json.loads((DOCS / "benchmarks" / "runs.json").read_text())[0]
    with pytest.raises(SystemExit, match="more than one"):
        publish([run, run], tmp_path)


def test_an_older_commit_is_measured_with_its_own_sources() -> None:
    with checked_out("HEAD") as source:
        assert source is not None
        program = "import servicekit; print(servicekit.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert Path(done.stdout.strip()).is_relative_to(source)
    assert not source.exists()


def test_a_run_on_postgres_has_a_place_of_its_own_beside_what_is_published(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text((DOCS / "benchmarks.md").read_text())
    published = json.loads((DOCS / "benchmarks" / "runs.json").read_text())
    figure = {**published[0]["figures"][0], "name": "a new row", "case": "postgres-jobs"}
    publish(keep_others(published, [{"environment": {"cpu": "new"}, "figures": [figure]}]), tmp_path)
    before, there = (tmp_path / "benchmarks.md").read_text().split("### The last published run there\n")
    assert "| a new row |" in there.split("\n## ")[0]
    assert "| a new row |" not in before
    assert all(f"| {figure['name']} |" in before for figure in published[0]["figures"] if not figure.get("case"))


def test_a_row_that_is_measured_again_replaces_the_published_one() -> None:
    old = [{"figures": [{"name": "a"}, {"name": "b"}]}, {"figures": [{"name": "c"}]}]
    new = [{"figures": [{"name": "b"}, {"name": "c"}]}]
    assert keep_others(old, new) == [{"figures": [{"name": "a"}]}, *new]
