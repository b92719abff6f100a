"""Jobs in one SQLite file, shared by all processes of a machine.

    event loop ── call ──▶ writer thread ── one transaction for all that waits ── synced commit ──▶ answers
               ── call ──▶ reader thread ── a snapshot ──▶ answers
    writer thread ── now and then: has another process committed? ── its events ──▶ hub, worker

Guarantees. A call that writes is answered after its commit has been synced to the disk (WAL, `synchronous=FULL`), so
what was acknowledged survives the end of the process and the loss of power. Calls that wait at the same time share one
transaction; if that fails, each is tried alone, so that one bad call fails alone. Every change of status is one guarded
UPDATE, and triggers append it to the log of events in the same transaction: the log cannot differ from the jobs.

Whose a job is. A claim is one transaction, under SQLite's own lock for writers. Every write of an attempt names the
attempt's number, and changes nothing if the job has another by now. A process is alive for as long as it holds the lock
on a file of its own (`flock`, which the operating system drops with the process and not before, stopped or slow as it
may be). Whoever finds that a lock is free takes over the jobs of its process.

What another process has done is read from the log, from the last position that was seen. SQLite counts the commits of
others (`PRAGMA data_version`), so that on an idle machine asking costs microseconds.

Whose turn it is. A job is *ready* while it is pending and waits for neither a time nor its concurrency key, and then it
has a turn: a number behind all that were given out before, whether it was ready at once or became so just now. Claims
read ready jobs alone, from an index in the order of their turns. Slots of a key are given away by triggers: each
write that lets one go makes the next job ready in the same step, whoever writes it and for whatever reason. A job keeps
its place when its attempt is released, and so it does while its process is dead and nobody has noticed.

    pending, waits for its time ──▶ pending, waits for its key ──▶ pending, ready ──claim──▶ running
        make_due(), any process         whoever lets a key go           └─ holds its key ───────┘

What waits for a time is made due by whoever looks first; all processes look. A schedule's tick passes once: who fires
it compares the tick with the one that the file has, keeps the job and writes the next tick, in one transaction.

On failure. A full disk, a file that cannot be written, a lock that another program does not give back: every call that
could not be answered raises `StoreUnavailable` with the reason, nothing of it is kept, and the next call tries again.

Statements that write many rows get them as one JSON parameter: the interpreter's lock is then released and taken once
for each statement and not once for each row, which would let a busy event loop slow the writer down a hundredfold. The
end of a single job is one plain statement: between single jobs the processor is idle and slows down, and each step then
takes three times as long. For the same reason the events of a small transaction are read inside of it; they are told
when it is on the disk.
"""
