"""Running one attempt of a job to its end, or stopping it.

A runner promises that whatever the target does, `run` returns an outcome: `SystemExit`, `KeyboardInterrupt` and every
other `BaseException` are how that attempt failed, and nobody else's concern. It returns when the work has really
ended, not before. A target that ignores a request to stop is reported as what it did in the end.

What a target starts by itself is out of reach on the event loop and in threads: a task of its own that raises
`SystemExit` ends the event loop, as it would without servicekit, whether somebody awaits it or not. A child that it
forks by itself ends at the latest when it comes to the target's end (`children`).

Processes and commands
----------------------

Everything that a job with processes of its own starts ends with it, at the latest: its children, theirs, and daemons.
To fork a service, with its threads, event loop and database, is not safe; so others do that, and watch.

    service ══ requests ══▶ launcher ── forks, for each job ──▶ supervisor ── forks ──▶ work ──▶ what it starts
       ║                                                           ║                     ║
       ╚═══════════════════════ control ═══════════════════════════╝                     ║
       ╚═══════════════════════ output, reports, outcome ════════════════════════════════╝

A call in Python can also submit jobs: its requests and their answers go over a socket of their own (`submissions`).

- The *launcher* is a small process with one thread, started for the first such job (`launcher`, `launcher_link`,
  `launcher_program`). It holds nothing of the service: no descriptors but its own, no locks. For functions it imports
  servicekit, once, so that a job waits for a fork alone. What it is to preload it imports from the service's start on.
  What such an import does is not known. So the launcher checks that its process, sockets, threads, children and files
  are as before. If they are not, another launcher takes its place, which does not preload.
- Supervisor and work are forked before their job comes (`ProcessPair`), since that takes longer than everything else.
  While the launcher has nothing to do, it keeps one pair, which waits.
- The *supervisor* of a job adopts whatever loses its parent (`PR_SET_CHILD_SUBREAPER`). So the job's processes are
  those that descend from it, wherever they went, and when it has no children left, nothing is left of the job.
- The *work* is a program that is executed, or a call of a function (`isolated`). It leads a session of its own.
- What cannot begin, for want of a descriptor or a process, is a `start_problem`, told by either of them: it goes back.
- The service (`work`) orders by the control socket to stop politely, SIGTERM, or after the grace time to kill, SIGKILL.

What happens when somebody dies:

| who            | what then                                                                                          |
|----------------|----------------------------------------------------------------------------------------------------|
| the work       | The supervisor kills what it left behind, and tells how it ended.                                  |
| the service    | The sockets end: supervisors kill everything, the launcher ends. On Linux the kernel kills it too, |
|                | since what it imports may hang, or have closed its socket.                                         |
| the launcher   | Running jobs go on. What it had not begun, and all jobs to come, are started by another.           |
|                | The same if it does not answer, and a job that it has not begun is to be killed, or has waited     |
|                | for a minute; or if what it imports has not ended after five.                                      |
| the supervisor | The kernel kills the work, the launcher the rest; then the control socket ends, and the job failed. |

A process that runs as somebody else (`sudo`) cannot be killed; its job goes on running until it has ended.

Without `prctl` and `/proc`, as on macOS, a process group is all that can be killed: daemons get away, and what a
supervisor leaves behind that was killed.
"""
