"""A reader of live changes in a tab of a browser, without the pages around it: what `live.js` alone promises."""

from typing import Any

from playwright.sync_api import Page

_START = """
async ({ jobs, key }) => {
  const { Api } = await import(`${location.origin}${location.pathname}`);
  const { Live } = await import(`${location.origin}${location.pathname.replace('kit.js', 'live.js')}`);
  const api = new Api(location.href, { getKey: () => key });
  const service = { paths: { jobs }, access: { owner: null, everything: true, may_act: true } };
  const live = new Live(api, service);
  window.live = live;
  window.heard = { resets: 0, states: [], records: [], deleted: [], batches: 0, locked: 0 };
  window.addEventListener('servicekit:locked', () => { heard.locked += 1; });
  live.subscribe((event) => {
    if (event.type === 'reset') heard.resets += 1;
    if (event.type === 'state') heard.states.push(event.state);
    if (event.type !== 'changes') return;
    heard.batches += 1;
    for (const { id, version, status } of event.records.values()) heard.records.push([id, version, status]);
    heard.deleted.push(...event.deleted);
  });
  live.start();
}
"""


class Watcher:
    """A tab that reads, and what it has heard."""

    def __init__(self, page: Page, url: str, *, key: str | None = None) -> None:
        self.page = page
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # which the browser asks for by itself
        page.goto(f"{url}assets/kit.js")  # any address of the service
        page.evaluate(_START, {"jobs": "../../api/v1/jobs", "key": key})

    def wait_state(self, state: str) -> None:
        """Wait until the connection is in this state."""
        self.page.wait_for_function("state => live.state === state", arg=state)

    def wait_resets(self, count: int) -> None:
        """Wait until lists had to be read again so many times."""
        self.page.wait_for_function("count => heard.resets >= count", arg=count)

    def wait_job(self, job_id: str, status: str) -> None:
        """Wait until it has been told that a job has this status."""
        told = "([id, status]) => heard.records.some((each) => each[0] === id && each[2] === status)"
        self.page.wait_for_function(told, arg=[job_id, status])

    def wait_deleted(self, job_id: str) -> None:
        """Wait until it has been told that a job was deleted."""
        self.page.wait_for_function("id => heard.deleted.includes(id)", arg=job_id)

    def versions_of(self, job_id: str) -> list[int]:
        """The versions of a job that were told, in their order."""
        found: list[int] = self.page.evaluate(
            "id => heard.records.filter((each) => each[0] === id).map((each) => each[1])", job_id
        )
        return found

    def get(self, name: str) -> Any:
        """One thing of all that was heard."""
        return self.page.evaluate("name => heard[name]", name)

    def set_visible(self, is_visible: bool) -> None:
        """Hide the tab, or show it: as a browser tells a page of it."""
        self.page.evaluate(
            """state => {
              Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
              Object.defineProperty(document, 'hidden', { configurable: true, get: () => state === 'hidden' });
              document.dispatchEvent(new Event('visibilitychange'));
            }""",
            "visible" if is_visible else "hidden",
        )
