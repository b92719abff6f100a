"""The dashboard: a page on which people see jobs as they change, and act on them.

    browser ── HTML, modules, styles: static, with no data in them, open to everybody ──▶ `Assets`
            ── $service: what there is, and what the caller may do ─────────────────────▶ `service_document`
            ── the routes of jobs, queues, schedules, as any other client ──────────────▶ `servicekit.api`

Guarantees. The page holds no data, so that nothing in it needs a guard: all that it shows comes from routes that ask
for the caller's access. Its addresses are relative, so that it works behind a proxy and in a mounted application. It
asks no other host for anything, and its policy forbids the browser to do so. What is served is read once and
compressed once.

`static/` has the page: native modules that a browser runs as they are. Nothing is built.
"""

from servicekit.web.dashboard import Dashboard

__all__ = ["Dashboard"]
