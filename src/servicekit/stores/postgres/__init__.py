"""Jobs in a PostgreSQL database, shared by all processes of all machines that reach it.

    event loop ── call ──▶ writer thread ── one transaction for all that waits ── commit ──▶ answers
               ── call ──▶ reader thread ── statements ──▶ answers
    writer thread ── what a commit means for others ──▶ listener thread ── NOTIFY ──▶ listeners of other processes
    listener thread ── what others have done, from the log of events ──▶ hub, worker
                    ── every 2 seconds: this process lives ──▶ its row in the list of processes

Guarantees. A call that writes is answered after its commit, so what was acknowledged survives what the server survives.
Calls that wait at the same time share one transaction; if that fails, each is tried alone, so that one bad call fails
alone. Every change of a job is one guarded statement that writes the job's event and the counts as well (`changes.py`):
the log cannot differ from the jobs.

Whose a job is. A claim locks the rows that it takes, and passes over those that others have locked. Every write of an
attempt names its number and its process, and changes nothing if the job has another by now. A process lives for as long
as it renews its lease, by the server's clock (`leases.py`). Who finds that a lease has run out marks the process as
dead, and takes its jobs over.

What another process has done is read from the log, from the last position that was seen. Positions become visible in
any order, and a reader misses none of them (`feed.py`). A notification only says that it is time to look. Where none
arrive, behind some poolers, the listener looks four times a second, or once if nothing happens.

Limits over all processes, and slots of concurrency keys, need a lock that is taken by one statement before the next one
counts: a statement sees what was committed before it began.

On failure. While the server is away, or starts again, calls wait for some seconds. If the answer to a commit is lost,
the same calls are written again: a job that is there by its id was accepted, an attempt that has ended in the same way
has ended, and a claim is refused, since it is not known what was claimed; what it may have claimed is given back. Then
`StoreUnavailable` tells in words what is wrong, and the next call tries again. Transactions that stood in one another's
way are tried again. A statement that gets no answer in time is given up with its connection, since a server that stands
still, or a network that swallows everything, closes none.

Each process has three connections, whatever it does. Nothing is kept in a session that a pooler in transaction mode
would lose: there all settings are those of a transaction, and no statement is prepared.
"""
