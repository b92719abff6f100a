"""The index of artifacts in one SQLite file, shared by all processes of a machine.

    callers, any thread ── operation ──▶ whoever has the lock writes for all that wait ── one synced commit ──▶ answers
                        ── question ───▶ a connection of the pool, a snapshot

Guarantees. What was saved is on the disk when the caller is told (WAL, `synchronous=FULL`). Calls that wait at the same
time share one transaction, each in a savepoint of its own: one that fails changes nothing, and the others go on. If the
transaction itself fails (a full disk, a lock that another program does not give back), all of them are told so, and
nothing of it is kept.

Rows are numbered in the order in which they were saved; pages go along these numbers, so that what is saved or deleted
between two pages shifts none. What stands above and below an artifact is found by recursion in SQLite itself, which has
no limit of depth.
"""
