"""Puts runs into the documentation: `python -m benchmarks.publish bench.json`, or several files, one for each run.

The tables and the charts are made from the figures that the runs have written, and from nothing else.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.charts import QUESTIONS, draw
from benchmarks.figures import number_text

DOCS: Final = Path(__file__).parent.parent / "docs"
_RESULTS: Final = re.compile(r"(?<=## The last published run\n\n).*?(?=\n## )", re.DOTALL)
_COLUMNS: Final = ("ours", "before", "limit", "peer", "ours_to_before", "ours_to_limit", "ours_to_peer")
_TITLES: Final = ("ours", "before", "limit", "peer", "ours/before", "ours/limit", "ours/peer")


def publish(runs: Sequence[Mapping[str, Any]], docs: Path) -> None:
    """Write the runs, their charts, and a table of each into the page on benchmarks. No figure may be in two runs."""
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    (folder / "runs.json").write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    figures = {figure["name"]: figure for run in runs for figure in run["figures"]}
    if len(figures) < sum(len(run["figures"]) for run in runs):
        sys.exit("A figure is in more than one of the runs. Publish each case from one run.")
    drawn = [question for question in QUESTIONS if question.figure in figures]
    for question in drawn:
        (folder / f"{question.file}.svg").write_text(draw(question, figures[question.figure]))
    parts = [f"![{question.title}](benchmarks/{question.file}.svg)\n" for question in drawn]
    for run in runs:
        parts += [*describe(run), ""]
    page = docs / "benchmarks.md"
    page.write_text(_RESULTS.sub(lambda _: "\n".join(parts), page.read_text()))


def describe(run: Mapping[str, Any]) -> list[str]:
    """The machine and the versions, and the table."""
    about = [f"- {name}: {value}" for name, value in run["environment"].items()]
    columns = [index for index, key in enumerate(_COLUMNS) if any(figure.get(key) for figure in run["figures"])]
    titles = ["", "unit", *(_TITLES[index] for index in columns), "target", "met"]
    table = [_line(titles), _line(["---"] * len(titles)), *(_row(figure, columns) for figure in run["figures"])]
    notes = [f"- {figure['name']}: {figure['note']}" for figure in run["figures"] if figure["note"]]
    return [*about, "", *table, "", *notes]


def _row(figure: Mapping[str, Any], columns: list[int]) -> str:
    numbers = [number_text(figure.get(_COLUMNS[index])) for index in columns]
    met = {True: "yes", False: "no", None: ""}[figure["met"]]
    return _line([figure["name"], figure["unit"], *numbers, figure["target"] or "", met])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    publish([json.loads(Path(name).read_text()) for name in sys.argv[1:]], DOCS)
