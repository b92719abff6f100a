"""The scheduler and its parts.

    Scheduler       what users hold: submit, look, wait, watch, cancel
    Engine          starts and stops the parts that follow
    Worker          claims ready jobs while there are free slots, and starts attempts
    Attempt         one run of one job: run the target, write the outcome, free the slot
    TimeLimits      ends an attempt that takes too long
    ResultHook      sees how an attempt has ended before that is written, and may replace the result
    Timekeeper      makes jobs ready whose time has come, and fails jobs that have waited for too long
    ScheduleRunner  submits the jobs of schedules at their ticks
    JobReader       follows one job for one reader: its record, then its changes
    LogReader       follows one job and its log for one reader
    AllJobsReader   follows all jobs for one reader
    Sweeper         drops jobs that are too old to keep, and takes over the jobs of processes that have died

One job. `add_job` inserts it into the store and wakes the worker. The worker claims it (the store sets it running), and
starts an attempt, which is a task of its own. The attempt runs the target, writes the outcome into the store, and
leaves the worker's list. Only then its slot is free. The store publishes every change to streams and waiters.

Cancel. A pending job is canceled in the store. For a running job, the store notes the request, and the runner asks the
target to stop. If the target ends because of that, the job ends `canceled`. If the target completes or fails instead,
that is how the job ends.

Retry. An attempt that has failed does not end the job if the job's `Retry` allows another one: the store sets the job
pending until its next time, and keeps the attempt in its history. A time limit asks the target to stop as a
cancellation does, but the attempt always ends failed.

Stop. The worker claims no more. Running attempts have the grace time to end, and are then asked to stop. After one more
second they are left to themselves: a thread that does not stop ends with the process. Their jobs are not canceled but
given back: the store sets them pending, for another process or for later. A store in memory cancels them, since it
keeps nothing.
"""
