"""Make the pictures of the documentation from the running dashboard: `make pictures`.

The service is that of `tests.web.picture_app`, with an hour of activity and some jobs of each kind. Beside the pictures
lies a digest of the files that they were made of, so that the suite notices pictures that are old.
"""

import asyncio
import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptions
from servicekit.jobs.activity import ActivityMinute, Counts, Group, bucket_of, minute_of
from servicekit.testing.stores.fakes import RecordingSignals
from servicekit.web.assets import STATIC
from tests.chromium import CHROMIUM_OPTIONS
from tests.needs import program
from tests.service import ROOT, run_service
from tests.web.conftest import PATIENCE_MILLISECONDS, Dashboard

FOLDER: Final = ROOT / "docs" / "pictures"
DIGEST: Final = FOLDER / "made-of.sha256"
MAX_BYTES: Final = 150_000
WIDE: Final[Any] = {"viewport": {"width": 1280, "height": 760}}
SHORT: Final[Any] = {"viewport": {"width": 1280, "height": 300}}
PHONE: Final[Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}


OTHERS: Final[dict[int, tuple[str, str, dict[str, str]]]] = {
    6: ("/predict", "", {"region": "west"}),
    11: ("/train", "running", {"model": "xgb", "region": "north"}),
    14: ("/train", "", {"model": "lgbm", "region": "south"}),
    16: ("/export", "", {"rows": "2000000"}),
    19: ("/export", "canceled", {"rows": "30000"}),
    22: ("/predict", "", {"region": "north"}),
    24: ("/reports", "", {"month": "2026-11"}),
    26: ("/train", "", {"model": "nn", "region": "west"}),
}
"""What is submitted after which site, under which name."""


LIST: Final = ["train", "at most", "Queues"]
"""What the list has when all around it is there as well."""


class Picture(NamedTuple):
    """One picture: its name, the page, the texts that must be seen before it is made, and the look."""

    name: str
    address: str
    seen: list[str]
    theme: Literal["light", "dark"] = "light"
    screen: Any = WIDE


PICTURES: Final = (
    Picture("list-light", "", LIST),
    Picture("list-dark", "", LIST, "dark"),
    Picture("list-phone", "", ["train", "per minute"], "light", PHONE),
    Picture("job-running", "{running}", ["rows dropped"]),
    Picture("job-failed", "{failed}", ["negative number of rows"]),
    Picture("queues", "queues", ["reports"], "light", SHORT),
    Picture("workers", "workers", ["fold 8 of 10"], "dark", SHORT),
)


def digest_of_scripts() -> str:
    """A digest of all that the page is made of."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/jobs.db"
        asyncio.run(write_history(url))
        # As a user has it, so that tracebacks have the names of a user's files.
        app = Path(folder) / "srv" / "harvest" / "jobs.py"
        app.parent.mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "web" / "picture_app.py", app)
        with run_service(app, environment={"SERVICEKIT_JOBS_URL": url, "FOLD_SECONDS": "3"}, cwd=app.parent) as service:
            take_all(Dashboard(service))
    DIGEST.write_text(f"{digest_of_scripts()}\n")


def take_all(dashboard: Dashboard) -> None:
    with dashboard.client, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=CHROMIUM_OPTIONS)
        ids = submit_jobs(dashboard)
        for picture in PICTURES:
            take(chromium, dashboard, picture, ids)
        chromium.close()


async def write_history(url: str) -> None:
    """An hour in which most went well, with a quarter of an hour in which a queue did not."""
    store = make_parts(url, SchedulerOptions()).store
    now = minute_of(datetime.now(UTC))
    minutes = [ActivityMinute(now - 59 + index, "pictures", None, count_minute(index)) for index in range(59)]
    await store.liveness.open(RecordingSignals())
    await store.activity.put_activity(minutes)
    await store.liveness.close()


def count_minute(index: int) -> dict[Group, Counts]:
    wave = 26 + round(12 * math.sin(index / 6)) + index * 7919 % 9
    is_bad = 34 <= index < 41
    return {
        Group("sync", "io"): count(wave, failed=9 if is_bad else index % 19 == 5, seconds=0.4, wait=0.2),
        Group("predict", "ml"): count(wave // 3, seconds=2.9, wait=6.0),
        Group("train", "ml"): count(index % 7 == 0, seconds=98, wait=24),
        Group("report", "reports"): count(index % 5 == 0, canceled=index == 20, seconds=11, wait=1),
    }


def count(completed: int, *, failed: int = 0, canceled: int = 0, seconds: float, wait: float) -> Counts:
    ended = completed + failed + canceled
    waits, runs = spread(ended, wait), spread(ended, seconds)
    return Counts(ended, int(completed), int(failed), int(canceled), waits, runs)


def spread(jobs: int, seconds: float) -> dict[int, int]:
    """Most durations around this one, and every tenth three times as long."""
    slow = jobs // 10
    counted = {bucket_of(seconds): jobs - slow, bucket_of(3 * seconds): slow}
    return {bucket: number for bucket, number in counted.items() if number}


def submit_jobs(dashboard: Dashboard) -> dict[str, str]:
    """The ids of those that are shown by themselves."""
    ids: dict[str, str] = {}
    dashboard.seed("/reports", params={"month": "2026-10"})
    dashboard.client.post("/api/v1/queues/reports/$pause")
    for site in range(1, 30):
        job_id = dashboard.submit("/sync", params={"site": site}, wait=True)
        if site == 17:
            ids["failed"] = job_id
        if site in OTHERS:
            path, name, params = OTHERS[site]
            ids[name] = dashboard.submit(path, params=params)
        time.sleep(0.7)  # so that they are not all of the same age
    dashboard.client.post(f"/api/v1/jobs/{ids['canceled']}/$cancel")
    return ids


def take(chromium: Browser, dashboard: Dashboard, picture: Picture, ids: dict[str, str]) -> None:
    """Open the page, wait until it shows what it should, and save it."""
    with open_page(chromium, picture) as page:
        page.goto(dashboard.url + picture.address.format(**ids))
        for text in picture.seen:
            expect(page.locator("main").get_by_text(text).first).to_be_visible()
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        path = FOLDER / f"{picture.name}.png"
        page.screenshot(path=path, animations="disabled")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


@contextmanager
def open_page(chromium: Browser, picture: Picture) -> Iterator[Page]:
    context = chromium.new_context(color_scheme=picture.theme, **picture.screen)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context.new_page()
    context.close()


if __name__ == "__main__":
    main()
