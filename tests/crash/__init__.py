"""The crash test: what the engine promises, while its processes are killed at random.

    storm ── starts, kills, stops, terminates ──▶ members: services (uvicorn) and workers, on one file
      ├── submits, cancels, deletes over HTTP ──▶      │ every target notes its start and its end in a journal
      └── readers, with and without reconnecting ◀─────┘
    calm: one healthy service drains the file ──▶ checks: file, journal, answers and readers must tell one story

`python -m tests.crash --seconds 600 --seed 1`, or `make crash-test SECONDS=600`, runs it for as long as one likes and
prints the figures; `test_crash.py` is a short form of it. Randomness comes from one seed; what the scheduler of the
operating system makes of it is another matter, so that a seed helps and does not repeat.

With `--url postgresql` the jobs are in a database, and the server is stopped, killed and frozen as well. Workers run on
other machines then, where network namespaces can be made; their cables are pulled out, also for longer than a lease.

Jobs, commands, trainings and clients also keep artifacts, with the same contents again and again, and clients delete
some. In the end every row must have its content, every completed job its artifact, and after a sweep no blob may be
without a row. With `--uploads`, thirty clients do little else than to upload megabytes and to train models, at four
services.
"""
