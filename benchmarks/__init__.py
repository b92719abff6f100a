"""servicekit measured beside its peer and its limit, in one run on one machine.

Three contestants do the same work:

    ours    this checkout
    limit   the least code that could do it: a task per job and a dict, or a bare Starlette stream
    peer    servicekit 3.0.1 from PyPI, in an environment of its own (`peer.py`)

    __main__ ── cases/* ──┬── engine   one contestant in one process, no HTTP      ┐ child processes,
                          ├── serve    one contestant's service (apps/*) under uvicorn ├ on the first core
                          ├── probe    a polling client in a process of its own    ┘
                          ├── clients  raw sockets: requests, load, crowds of streams   on the second core
                          └── figures  medians, ratios, targets, the table

Each file in `cases` asks one question and yields the figures that answer it.
"""
