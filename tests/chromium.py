"""How tests start Chromium: without a sandbox (which root cannot have), and without calling anybody."""

from playwright.sync_api import expect

expect.set_options(timeout=60_000)  # a page that is right may take its time

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
