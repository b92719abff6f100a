"""servicekit measured beside its peers and its limits, in one run on one machine.

The contestants do the same work:

    ours    this checkout
    limit   the least code that could do it: a task per job and a dict, a bare Starlette stream, one SQLite table
    peer    servicekit 3.0.1 from PyPI; of jobs on a disk, the best of three, and in PostgreSQL the best of two; each in
            its own environment (`peer.py`)

    __main__ ── cases/* ──┬── engine   one contestant in one process, no HTTP, in memory   ┐ child processes,
                          ├── serve    one contestant's service (apps/*) under uvicorn     ┘ on the first core
                          ├── durable  the same as engine, on a disk        ┐
                          ├── control  our jobs with options                │
                          ├── reports  what jobs say while they run         │
                          ├── starts   how soon each kind of work begins    │
                          ├── peers/*  how each embedded peer is driven     │ child processes, on both cores
                          ├── served   our jobs in PostgreSQL               │
                          ├── worker   our service's jobs without HTTP      ┘
                          ├── postgres a server for one case                  its processes, on both cores
                          ├── teams    several processes with the same jobs
                          ├── costs    rates and CPU, round by round
                          ├── probe    a polling client, a child process    ┐
                          ├── clients  raw sockets: requests, load, streams ┘ on the second core
                          └── figures  medians, ratios, targets, the table

Each file in `cases` asks one question and yields the figures that answer it.
"""
