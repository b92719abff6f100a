"""The scheduler and what it is made of.

    Scheduler       what users hold: submit, look, wait, watch, cancel
    Engine          starts and stops what follows
    Worker          claims pending jobs while there are free slots, and starts attempts
    Attempt         one run of one job: run it, write how it ended, free the slot
    TimeLimits      ends an attempt that takes too long
    Timekeeper      starts what waits for a time when that has come, and fails what has waited too long
    ScheduleRunner  submits the jobs of schedules at their ticks
    JobReader       one reader's view of one job: what is, then what changes
    LogReader       the same with the lines of the job's log
    AllJobsReader   one reader's view of all jobs
    Sweeper         drops what is too old to keep, and takes over the jobs of processes that have died

One job: `add_job` inserts it into the store and wakes the worker. The worker claims it (the store sets it running)
and starts an attempt, a task of its own. The attempt runs the target, writes the outcome into the store, and leaves
the worker's list: only then its slot is free. Every change is published by the store, to streams and waiters.

Cancel. A pending job is canceled in the store. For a running one the store notes the request, and the runner passes it
to the target; the record says `canceled` when the target has ended because of it. Whatever the target does instead is
what the record says.

Retry. An attempt that has failed and may be followed by another does not end the job: the store sets it pending until
its next time, with the attempt in its history. A time limit asks the target to stop as a cancellation does, and the
attempt ends failed, whatever the target makes of that.

Stop. No more claims; running attempts have a grace time to end, are then asked to stop, and after one more second are
left to themselves: a thread that does not cooperate ends with the process. What was stopped so is not canceled but
given back: the store sets it pending, for another process or for later. A store that keeps nothing ends it canceled.
"""
