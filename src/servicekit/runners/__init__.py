"""Running one attempt of a job to its end, or stopping it.

A runner promises that whatever the target does, `run` returns an outcome: `SystemExit`, `KeyboardInterrupt` and every
other `BaseException` are how that attempt failed, and nobody else's concern. It returns when the work has really
ended, not before. A target that ignores a request to stop is reported as what it did in the end.

What a target starts by itself is out of reach: a task of its own that raises `SystemExit` ends the event loop, as it
would without servicekit, whether somebody awaits it or not.
"""
