"""The parts of the job's page that only compute, as the browser runs them."""

from typing import Any

import pytest
from playwright.sync_api import Route

from tests.needs import needs
from tests.web.conftest import Tab

pytestmark = needs("chromium")

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/app/train.py", line 12, in train
    model.fit(rows,
              ~~~~~^
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
  File "/srv/.venv/lib/python3.11/site-packages/sklearn/base.py", line 9, in fit
    return self._fit(x)
  [Previous line repeated 970 more times]
sklearn.FitError: no rows
with a second line: of its text

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "C:\\app\\main.py", line 3, in <module>
  File "<frozen importlib._bootstrap>", line 1, in load
KeyError: 'x'
"""


def run(tab: Tab, module: str, expression: str, *values: Any) -> Any:
    """What an expression with a module `m` and values `v` gives."""
    tab.expected.append("favicon")
    tab.open("assets/app.css")  # a page without scripts of its own
    return tab.page.evaluate(
        f"async (v) => {{ const m = await import('./{module}'); return {expression}; }}", list(values)
    )


def test_a_traceback_is_read_into_its_parts(tab: Tab) -> None:
    parts = run(tab, "traceback.js", "m.parseTraceback(v[0])", TRACEBACK)
    assert [part["kind"] for part in parts] == ["frame", "frame", "frame", "error", "text", "frame", "frame", "error"]
    assert [part["isOwn"] for part in parts if part["kind"] == "frame"] == [True, False, False, True, False]
    assert parts[0]["code"] == ["model.fit(rows,"]
    assert parts[2]["code"][-1] == "[Previous line repeated 970 more times]"
    assert parts[3]["message"] == "no rows\nwith a second line: of its text\n"
    blamed = run(tab, "traceback.js", "m.blamedFrame(m.parseTraceback(v[0]))", TRACEBACK)
    assert blamed["file"] == "C:\\app\\main.py"
    folded = run(tab, "traceback.js", "m.foldLibraries(m.parseTraceback(v[0])).map(Array.isArray)", TRACEBACK)
    assert folded.count(True) == 2


def test_what_is_no_traceback_stays_as_it_is(tab: Tab) -> None:
    group = "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: two (2 sub-exceptions)\n"
    for text in (group, "anything else at all"):
        parts = run(tab, "traceback.js", "m.parseTraceback(v[0])", text)
        assert [part["text"] for part in parts] == [text]


def test_json_is_read_without_loss(tab: Tab) -> None:
    text = '{"10":1.50,"2":-0,"n":118059162071741130342400001,"a":[],"o":{},"s":"\\u00e9\\"","2":1e400}'
    printed = run(tab, "json-text.js", "m.printJson(m.readJson(v[0]))", text)
    assert [line.strip().rstrip(",") for line in printed.splitlines()[1:-1]] == [
        '"10": 1.50',
        '"2": -0',
        '"n": 118059162071741130342400001',
        '"a": []',
        '"o": {}',
        '"s": "é\\""',
        '"2": 1e400',
    ]


def test_a_command_to_copy_sends_what_the_page_sends_and_tells_no_secret(tab: Tab) -> None:
    command = "m.curlOf('http://here/job', v[0])"
    assert run(tab, "job-texts.js", command, {}) == "curl -s 'http://here/job'"
    for name, value in [("X-API-Key", "$SERVICEKIT_API_KEY"), ("Authorization", "Bearer $TOKEN")]:
        told = run(tab, "job-texts.js", command, {name: "a secret"})
        assert told == f"curl -s -H \"{name}: {value}\" 'http://here/job'"
    python = "m.LANGUAGES[1].write({method: 'POST', path: 'train'}, new URL('http://here/'), v[0])"
    told = run(tab, "submission-texts.js", python, {"Authorization": "a secret"})
    assert 'headers={"Authorization": "Bearer " + os.environ["TOKEN"]}' in told


def test_what_is_no_json_is_an_error(tab: Tab) -> None:
    for text in ("", "{", "[1,]", '{"a" 1}', "1 2", "nul", "[" * 100_000):
        name = run(tab, "json-text.js", "(() => { try { m.readJson(v[0]); } catch (e) { return e.name; } })()", text)
        assert name == "SyntaxError", text[:10]


def test_times_that_contradict_each_other_are_never_negative(tab: Tab) -> None:
    record = {
        "submitted_at": "2026-01-01T00:00:10Z",
        "started_at": "2026-01-01T00:00:05Z",
        "finished_at": None,
        "attempt": 2,
        "status": "running",
        "error": None,
        "ended_by": None,
        "process": "web:1",
        "attempts": [
            {
                "attempt": 1,
                "started_at": "2026-01-01T00:00:12Z",
                "finished_at": "2026-01-01T00:00:11Z",
                "error": "ValueError",
                "ended_by": "target",
                "process": None,
            }
        ],
    }
    pieces = run(tab, "timeline.js", "m.piecesOf(v[0], Date.parse('2026-01-01T00:00:00Z'))", record)
    assert [piece["kind"] for piece in pieces] == ["wait", "attempt", "attempt"]
    assert all(piece["to"] >= piece["from"] for piece in pieces)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, "It waits for its turn."),
        ("it needs 3 GPUs, and 1 is free", "It could not begin yet: it needs 3 GPUs, and 1 is free."),
        ("no\x1b[1m\nmemory.", "It could not begin yet: no\\u001b[1m memory."),
    ],
)
def test_a_pending_job_says_what_has_kept_it_from_beginning(tab: Tab, reason: str | None, words: str) -> None:
    record = {"status": "pending", "scheduled_at": None, "queue": "default", "attempt": 1, "pending_reason": reason}
    line = "new m.JobWaiting({service: {access: {everything: false}}})"
    said = f"(() => {{ const line = {line}; line.show(v[0]); return line.element.textContent; }})()"
    assert run(tab, "job-waiting.js", said, record) == words


KINDS = ["coroutine", "thread"]
AWAY = "The cluster ray://head:10001 has not been reached since 2026-01-01 12:00:00 UTC: no route to host"


@pytest.mark.parametrize(
    ("runner", "workers", "words"),
    [
        ("thread", [(KINDS, {})], None),
        (
            "ray",
            [(KINDS, {}), (KINDS, {"thread": "no threads"})],
            "No worker runs jobs of the kind ray, since none has a cluster (SERVICEKIT_CLUSTER): see the workers.",
        ),
        ("process", [(KINDS, {})], "No worker runs jobs of the kind process: see the workers."),
        ("ray", [(KINDS, {}), ([*KINDS, "ray"], {})], None),
        ("ray", [(KINDS, {}), (None, {})], None),
        ("ray", [(KINDS, {}), ([*KINDS, "ray"], {"ray": AWAY})], f"No worker can begin it at the moment: {AWAY}."),
        ("ray", [([*KINDS, "ray"], {}), ([*KINDS, "ray"], {"ray": AWAY})], None),
        ("ray", [([*KINDS, "ray"], {"ray": AWAY}), ([*KINDS, "ray"], {})], None),
        ("ray", [([*KINDS, "ray"], {"ray": AWAY}), (None, {})], None),
        ("thread", [(KINDS, {"thread": "no\nthreads!"})], "No worker can begin it at the moment: no threads!"),
        (None, [(KINDS, {})], None),
    ],
)
def test_a_pending_job_says_why_no_worker_can_begin_it(
    tab: Tab, runner: str | None, workers: list[tuple[list[str] | None, dict[str, str]]], words: str | None
) -> None:
    told = [{"runners": runners, "problems": problems} for runners, problems in workers]
    said = "m.problemOfWorkers(v[0], v[1])?.map((word) => word.textContent ?? word).join('') ?? null"
    assert run(tab, "job-waiting.js", said, {"runner": runner}, told) == words


@pytest.mark.parametrize(
    ("runners", "problems", "reason", "words"),
    [
        (["ray"], {"ray": AWAY}, "it needs 3 GPUs, and 1 is free", f"No worker can begin it at the moment: {AWAY}."),
        (KINDS, {}, "it needs 3 GPUs, and 1 is free", "No worker runs jobs of the kind ray, since none has a cluster"),
        (["ray"], {}, "it needs 3 GPUs, and 1 is free", "It could not begin yet: it needs 3 GPUs, and 1 is free."),
        (["ray"], {}, None, "It waits for a free place."),
    ],
)
def test_what_the_workers_say_is_newer_than_what_has_kept_a_job_from_beginning(
    tab: Tab, runners: list[str], problems: dict[str, str], reason: str | None, words: str
) -> None:
    record = {"status": "pending", "scheduled_at": None, "queue": "default", "pending_reason": reason, "runner": "ray"}
    place = {"workers": [{"runners": runners, "problems": problems}]}
    said = "m.reasonOf(v[0], v[1]).map((word) => word.textContent ?? word).join('')"
    assert run(tab, "job-waiting.js", said, record, place).startswith(words)


WATCH_HIDDEN = """(() => {
  Object.defineProperty(document, 'hidden', { get: () => true });
  const text = async () => {
    if (v[0].fails) throw new Error('no answer');
    window.lookedAt = Date.now();
    return JSON.stringify({ status: 'running' });
  };
  window.service = v[0];
  window.told = [];
  new m.JobStream({ text }, 'job', { state: (state, since) => told.push([state, Number(since)]) }).start();
})()"""


def test_a_hidden_page_knows_from_its_last_look_when_all_was_right(tab: Tab) -> None:
    page = tab.page
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
    run(tab, "job-stream.js", WATCH_HIDDEN, {"fails": False})
    for _ in range(2):
        page.evaluate("[service.fails, lookedAt, told] = [false, 0, []]")
        while not page.evaluate("lookedAt"):
            page.clock.run_for(1_000)
        page.evaluate("service.fails = true")
        while not page.evaluate("told.some(([state]) => state === 'reconnecting')"):
            page.clock.run_for(1_000)
        assert page.evaluate("told") == [["live", 0], ["reconnecting", page.evaluate("lookedAt")]]


@pytest.mark.parametrize(("told", "least", "most"), [("00:00:01", 0, 0), ("01:00:01", 3_590, 3_610)])
def test_the_clock_of_the_service_is_not_judged_by_an_answer_that_comes_late(
    tab: Tab, told: str, least: int, most: int
) -> None:
    def answer(route: Route) -> None:
        tab.page.clock.run_for(5_000)
        route.fulfill(status=204, headers={"Date": f"Thu, 01 Jan 2026 {told} GMT"})

    tab.page.clock.install(time="2026-01-01T00:00:00Z")
    tab.page.clock.pause_at("2026-01-01T00:00:01Z")
    tab.page.route("**/late", answer)
    ahead = run(tab, "kit.js", "new m.Api(location.href).text('late').then(() => m.serverNow() - Date.now())")
    assert least <= ahead / 1_000 <= most


def test_lines_are_cleaned_of_commands_to_a_terminal(tab: Tab) -> None:
    texts = ["\x1b[1;31mred\x1b[0m", "\x1b]0;title\x07plain", "tab\tstays", "\u202eabc", "bell\x07"]
    cleaned = run(tab, "log-model.js", "v.map(m.stripEscapes)", *texts)
    assert cleaned == ["red", "plain", "tab\tstays", "\\u202eabc", "bell"]


def test_records_that_tell_only_of_progress_are_not_kept(tab: Tab) -> None:
    records = [
        {"version": version, "status": status, "attempt": attempt, "cancel_requested_at": None}
        for version, status, attempt in [(9, "running", 1), (2, "running", 1), (10, "running", 1), (12, "failed", 1)]
    ]
    steps = run(tab, "job-panes.js", "v.reduce(m.addStep, [])", *records)
    assert [step["version"] for step in steps] == [2, 12]


def test_numbers_of_progress_that_are_too_big_for_a_number_are_a_share_too(tab: Tab) -> None:
    record = "{status: 'running', attempt: 1, progress: {done: v[0], total: 10n ** 17n, message: null}}"
    assert run(tab, "job-list.js", f"m.outcomeOf({record}).share", 25) == 25 / 10**17
    assert run(tab, "kit.js", f"m.shareOf({record})", 25) == 25 / 10**17
