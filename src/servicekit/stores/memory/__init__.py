"""Jobs in the memory of one process. They are lost with it, and what is kept of finished jobs is bounded.

A job is one mutable `Job` with everything inline, and the frozen record is made when somebody looks: at 100,000 kept
jobs the garbage collector walks one object for each of them instead of a handful, and a job that nobody watches never
pays for a record. Nothing here awaits, so every method of the store is atomic on the event loop.

    MemoryStore             one class for each part of the port: MemorySubmissions, MemoryAttempts, MemoryReads, ...
     ├─ KeptJobs            what the parts share: all jobs, and what is done to them
     │   ├─ PendingJobs     from their submission to their turn
     │   │   ├─ KeySlots    of their concurrency keys
     │   │   └─ ReadyQueues of those that are ready, with QueueTurns
     │   ├─ JobIndex        all jobs, in order of submission
     │   ├─ ChangeLog       which have changed last
     │   ├─ FinishedJobs    in the order in which they ended
     │   └─ ByteBudget      what they keep besides their records, and how much of it may be kept
     └─ MemorySchedules     the schedules
"""

from servicekit.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
