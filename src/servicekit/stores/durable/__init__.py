"""What every store needs whose jobs outlive their process, whichever database keeps them.

    part of a store ── request ──▶ Database.write(operation) ── one transaction for all that waits ──▶ News
                    ── request ──▶ Database.read(query) ──▶ answer                                       │
    whoever asked, hub, worker ◀── CommitNotifier, on the event loop ◀───────────────────────────────────┘

A database offers three things: a `Database` (`database.py`: writes, reads, news of what has become of jobs), its own
`Registration` of this process (how others see whether it lives), and `Statements` (`statements.py`): a module for each
kind of them, with one function for one question. What a statement is asked and what it answers is in `requests.py`,
`new_jobs.py`, `schedule_rows.py` and `records.py`.

All else is here, once. What becomes of a job is decided in `servicekit.jobs`. The order of writes in a transaction, and
what follows them, is declared with each (`operations.py`). What only this process can run is kept by it (`local.py`).

Guarantees that the database has to give. An operation is atomic, and is answered when nothing can undo it. Each write
of an attempt names the attempt's number, and changes nothing if the job has another by now. Every change of a job is an
event with a position, written in the same transaction. `StoreUnavailable` means that it is not known whether anything
was written: whoever asked may ask again.
"""
