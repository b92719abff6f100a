"""What the list is made of, without a document: the search, which rows move and when, what is marked."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.needs import needs
from tests.web.conftest import Dashboard

pytestmark = needs("chromium")

RECORD = {"id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "version": 1, "status": "failed", "name": "train", "queue": "ml",
          "tags": ["nightly"], "owner": "ana", "error": "ValueError: Out of MEMORY", "parent": None,
          "submitted_at": "2026-01-31T12:00:00.500001Z"}  # fmt: skip

READ = """async (text) => {
  const { parseQuery, toParams, formatQuery } = await import('./query.js');
  const query = parseQuery(text);
  return { ...query, params: query.problems.length ? null : toParams(query), again: parseQuery(formatQuery(query)) };
}"""
MATCHES = """async ([text, record]) => {
  const { parseQuery, matches } = await import('./query.js');
  return matches(parseQuery(text), record);
}"""


@pytest.fixture(scope="module")
def scripts(browser: Browser, dashboard: Dashboard) -> Iterator[Page]:
    """A place where the modules can be imported, and nothing else is."""
    page = browser.new_page()
    page.goto(f"{dashboard.url}assets/kit.js")
    yield page
    page.close()


@pytest.fixture
def read(scripts: Page) -> Any:
    return lambda text: scripts.evaluate(READ, text)


def test_a_search_becomes_the_parameters_of_the_list(read: Any) -> None:
    params = {
        "": [],
        "status:running name:train": [["status_filter", "running"], ["name", "train"]],
        "status:failed,canceled": [["status_filter", "failed"], ["status_filter", "canceled"]],
        'out of "memory now"': [["search", "out of memory now"]],
        'name:"a \\"b\\" \\\\ c" tag:task:add': [["name", 'a "b" \\ c'], ["tag", "task:add"]],
        "error:refused ValueError: x://y": [["error", "refused"], ["search", "ValueError: x://y"]],
        "after:2026-01-31T12:00:00+01:00": [["submitted_after", "2026-01-31T11:00:00.000Z"]],
        'queue:"not closed': [["queue", "not closed"]],
    }
    assert {text: read(text)["params"] for text in params} == params


def test_the_text_of_a_search_means_the_same_when_it_is_read_again(read: Any) -> None:
    for text in (
        'name:"a b" x "y  z"',
        '"status:failed"',
        "status:failed,running owner:ana",
        'error:"\\"" \\ ',
        'name:"//x"',
    ):
        query = read(text)
        assert query["problems"] == []
        assert query["again"] == {key: query[key] for key in ("terms", "words", "problems")}, text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("status:done", "There is no status “done”. Use pending, running, completed, failed, canceled."),
        ("name:", "name: needs a value: the whole name of the job."),
        ("name:a name:b", "name: can be given only once."),
        ("args:x", "Jobs cannot be found by “args:”."),
        ("constructor:x", "Jobs cannot be found by “constructor:”."),
        ("after:yesterday", "“yesterday” is no time"),
        ("parent:17", "parent: needs the id of a job, and “17” is none."),
        (f"tag:{'x' * 201}", "tag: takes at most 200 characters."),
        ("x" * 201, "Words to search for have at most 200 characters."),
    ],
)
def test_a_search_that_makes_no_sense_is_explained(read: Any, text: str, problem: str) -> None:
    assert problem in " ".join(read(text)["problems"])


def test_records_match_by_the_rules_of_the_service(scripts: Page) -> None:
    matching = ["", "status:failed", "status:running,failed", "name:train", "queue:ml", "tag:nightly", "owner:ana",
                "error:memory", "of memory", "TRAIN", "after:2026-01-31T12:00:00.500Z",
                "before:2026-01-31T12:00:01Z"]  # fmt: skip
    others = ["status:running", "name:tra", "name:Train", "queue:io", "tag:night", "owner:ben", "error:trains",
              '"of  memory"', "after:2026-01-31T12:00:01Z", "before:2026-01-31T12:00:00.500Z",
              "parent:01JQRS7XK5N8Z3VQ2M4T6W8Y0A"]  # fmt: skip
    found = {text: scripts.evaluate(MATCHES, [text, RECORD]) for text in matching + others}
    assert found == dict.fromkeys(matching, True) | dict.fromkeys(others, False)
    assert not scripts.evaluate(
        MATCHES, ["ÄRGER", RECORD | {"name": "ärger"}]
    )  # only ASCII letters match in either case


MODEL = """async ([filter, steps]) => {
  const { RowModel } = await import('./row-model.js');
  const model = new RowModel((record) => !filter || record.status === filter);
  const make = (text) => {
    const [id, status = 'running', version = '1'] = text.split(' ');
    return { id, status, version: Number(version) };
  };
  for (const [name, ...args] of steps) {
    if (name === 'load' || name === 'append' || name === 'reconcile') model[name](args[0].map(make), args[1]);
    else if (name === 'apply') model.apply(args[0].map(make), args[1] ?? []);
    else model[name](...args);
  }
  const shown = model.ids.map((id) => [id, model.record(id).status, model.departure(id)].filter(Boolean).join(' '));
  return { shown, waiting: model.waitingCount, cursor: model.cursor, isOverflowing: model.isOverflowing };
}"""


@pytest.fixture
def run_model(scripts: Page) -> Any:
    return lambda *steps, only="": scripts.evaluate(MODEL, [only, [list(step) for step in steps]])


def test_a_new_job_comes_to_its_place_unless_the_table_is_held(run_model: Any) -> None:
    load = ("load", ["D", "B"], None)
    assert run_model(load, ("apply", ["C", "E"]))["shown"] == ["E running", "D running", "C running", "B running"]
    held = run_model(load, ("hold", True), ("apply", ["C", "E"]), ("apply", ["B failed 2"]))
    assert held == {"shown": ["D running", "B failed"], "waiting": 2, "cursor": None, "isOverflowing": False}
    let_go = run_model(load, ("hold", True), ("apply", ["C", "E"]), ("hold", False))
    assert let_go["shown"] == ["E running", "D running", "C running", "B running"]
    asked = run_model(load, ("hold", True), ("apply", ["E"]), ("showWaiting",), ("apply", ["F"]))
    assert (asked["shown"], asked["waiting"]) == (["E running", "D running", "B running"], 1)


def test_a_row_that_does_not_match_any_more_stays_marked_while_the_table_is_held(run_model: Any) -> None:
    load = ("load", ["C", "B", "A"], None)
    gone = ("apply", ["B completed 2"], ["A"])
    assert run_model(load, gone, only="running")["shown"] == ["C running"]
    held = run_model(load, ("hold", True), gone, only="running")
    assert held["shown"] == ["C running", "B completed unmatched", "A running deleted"]
    back = run_model(
        load, ("hold", True), gone, ("apply", ["B running 3", "A running 9"]), ("hold", False), only="running"
    )
    assert back["shown"] == ["C running", "B running"]


def test_what_waits_and_goes_is_not_counted(run_model: Any) -> None:
    model = run_model(
        ("load", [], None), ("hold", True), ("apply", ["A", "B"]), ("apply", ["A failed 2"], ["B"]), only="running"
    )
    assert (model["waiting"], model["shown"]) == (0, [])


def test_an_older_state_of_a_job_is_not_taken(run_model: Any) -> None:
    assert run_model(("load", ["A completed 5"], None), ("apply", ["A running 3"]))["shown"] == ["A completed"]
    assert run_model(("load", ["A completed 5"], None), ("reconcile", ["A running 3"], None))["shown"] == [
        "A completed"
    ]


def test_a_job_of_a_page_that_was_not_read_comes_with_its_page(run_model: Any) -> None:
    steps = [("load", ["D", "C"], "C"), ("apply", ["A running 2", "B"])]
    assert run_model(*steps)["shown"] == ["D running", "C running"]
    assert run_model(*steps, ("append", ["B", "A"], None))["shown"] == [
        "D running",
        "C running",
        "B running",
        "A running",
    ]


def test_reading_the_list_again_finds_what_came_and_went(run_model: Any) -> None:
    load = ("load", ["E", "D", "B"], "B")
    below = run_model(load, ("reconcile", ["F", "D failed 2"], "C"))  # B may be out of date
    assert (below["shown"], below["cursor"]) == (["F running", "D failed"], "C")
    assert run_model(load, ("reconcile", ["F"], None))["shown"] == ["F running"]
    held = run_model(load, ("hold", True), ("reconcile", ["F", "E", "B"], "B"))
    assert (held["shown"], held["waiting"]) == (["E running", "D running unmatched", "B running"], 1)


def test_what_is_kept_has_a_bound(run_model: Any) -> None:
    many = [f"{number:05}" for number in range(2_000)]
    grown = run_model(("load", ["00000"], None), ("apply", many))
    assert (len(grown["shown"]), grown["cursor"]) == (100, "01900")
    held = run_model(("load", ["00000"], None), ("hold", True), ("apply", many[1:]), ("hold", False))
    assert (held["waiting"], held["isOverflowing"], held["shown"]) == (500, True, ["00000 running"])


FOLLOWER = """async ({ count, isHeld, isLate }) => {
  const { Follower } = await import('./list-follower.js');
  const make = (version) => (id) => ({ id, version, status: version > 1 ? 'completed' : 'running', tags: [] });
  const ids = Array.from({ length: count }, (_, index) => String(9_999 - index));
  const answers = [];
  const list = Object.assign(new EventTarget(), {
    query: null, limit: null, isHeld, rows: null, draw() {}, readAgain() {},
    fetch: (params) => new Promise((resolve) => answers.push({ ...Object.fromEntries(params), resolve })),
  });
  const follower = new Follower(list, { body: document.body, height: 28 });
  follower.begin(ids.map(make(1)), ids.at(-1));
  const answer = async (shown) => {
    const { limit, cursor = '~', resolve } = answers.shift();
    const page = shown.filter((id) => id < cursor).slice(0, Number(limit));
    resolve({ records: page.map(make(2)), cursor: page.at(-1) === shown.at(-1) ? null : page.at(-1) });
    await new Promise((resume) => setTimeout(resume));
  };
  const { signal } = new AbortController();
  const ends = [follower.reconcile(signal)];
  if (isLate) {
    ends.push(follower.reconcile(signal));
    await answer(ids);
    follower.hear({ type: 'changes', records: new Map([['new', make(3)('new')]]), deleted: new Set() });
  }
  while (answers.length) await answer(ids);
  await Promise.all(ends);
  const old = list.rows.ids.filter((id) => list.rows.record(id).version < 2);
  return { top: list.rows.ids[0], count: list.rows.ids.length, old: old.length };
}"""


def test_all_rows_that_are_held_are_read_again(scripts: Page) -> None:
    found = scripts.evaluate(FOLLOWER, {"count": 2_500, "isHeld": True, "isLate": False})
    assert found == {"top": "9999", "count": 2_500, "old": 0}


def test_a_job_that_comes_while_the_list_is_read_twice_stays(scripts: Page) -> None:
    found = scripts.evaluate(FOLLOWER, {"count": 3, "isHeld": False, "isLate": True})
    assert found == {"top": "new", "count": 4, "old": 0}


SELECTION = """async (steps) => {
  const { Selection } = await import('./selection.js');
  const selection = new Selection(() => {});
  for (const [name, ...args] of steps) selection[name](...args);
  return [[...selection.ids].sort().join(''), selection.isEverything];
}"""


def test_a_range_of_rows_is_marked_from_the_last_one(scripts: Page) -> None:
    rows = list("EDCBA")

    def run(*steps: tuple[Any, ...]) -> Any:
        return scripts.evaluate(SELECTION, [list(step) for step in steps])

    assert run(("set", "B"), ("extendTo", "D", rows)) == ["BCD", False]
    assert run(("set", "E"), ("extendTo", "C", rows), ("toggle", "D")) == ["CE", False]
    assert run(("extendTo", "D", rows)) == ["D", False]
    assert run(("setAll", rows), ("setEverything",)) == ["ABCDE", True]
    assert run(("setAll", rows), ("setEverything",), ("toggle", "A")) == ["BCDE", False]
    assert run(("setAll", rows), ("clear",)) == ["", False]
