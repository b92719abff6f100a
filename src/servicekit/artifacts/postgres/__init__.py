"""The index of artifacts in the PostgreSQL database of the jobs, for processes of many machines.

    callers, any thread ── operation ──▶ a transaction of its own ──▶ answer
                        ── question ───▶ one statement, a snapshot

Guarantees. As in SQLite, with other locks, since no process has the database for itself:

- A content: who adds a row for a blob shares an advisory lock on its hash until the commit, who releases blobs holds it
  alone. So a blob is not removed while a row is added that refers to it.
- A parent: who adds below it locks its row. Who removes a subtree locks all rows of it, looks again, and goes on until
  there is none that it has not locked.
- An id: is unique. Who finds it taken at the last moment begins anew, and then sees by whom.

A lock ends with the connection, which can be lost while its process goes on. Then its transaction is lost as well: no
row is there for what it has placed, and what it removes was planned before (see `servicekit.artifacts.ports`).
"""
