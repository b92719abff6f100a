"""Running one attempt of a job to its end, or stopping it.

`run` returns an outcome, whatever the target does. `SystemExit`, `KeyboardInterrupt` and every other `BaseException`
make the attempt fail, and nothing else. `run` returns when the work has really ended, not before. If a target ignores a
request to stop, the outcome says how it ended in the end.

On the event loop and in threads, a runner cannot control what a target starts. A task of the target that raises
`SystemExit` ends the event loop, as it would without servicekit. A child that the target forks ends when it returns
from the target, at the latest (`children`).

Processes and commands
----------------------

Everything that such a job starts ends with it, at the latest: its children, their children, and daemons. To fork a
service, with its threads, event loop and database, is not safe. So other processes fork, and watch.

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
- The *supervisor* of a job adopts every descendant whose parent ends (`PR_SET_CHILD_SUBREAPER`). So all processes of
  the job descend from it, also those that left the session. When it has no children, nothing is left of the job.
- The *work* is a program that is executed, or a call of a function (`isolated`). It leads a session of its own.
- A job that cannot begin for want of a descriptor or a process has a `start_problem`, and goes back. Launcher,
  supervisor and work can tell it.
- The service (`work`) gives orders by the control socket: to stop the work by SIGTERM, or after the grace time to kill
  it by SIGKILL.

What happens when a process dies:

| process        | what happens                                                                                        |
|----------------|-----------------------------------------------------------------------------------------------------|
| the work       | The supervisor kills what the work has left behind, and tells the service how the work ended.       |
| the service    | The sockets end: supervisors kill everything, the launcher ends. On Linux the kernel kills the      |
|                | launcher too, since an imported module may hang, or may have closed the socket.                     |
| the launcher   | Running jobs go on. Another launcher starts the jobs that this one had not begun, and all later     |
|                | ones. The same happens if it does not answer: a job that it has not begun is to be killed, or has   |
|                | waited for a minute, or an import has not ended after five minutes.                                 |
| the supervisor | The kernel kills the work, and the launcher what the work has started. Then the control socket      |
|                | ends, and the job has failed.                                                                       |

A process of another user (`sudo`) cannot be killed. Its job goes on running until the process has ended.

Without `prctl` and `/proc`, as on macOS, only a process group can be killed. Daemons survive, and so does what a killed
supervisor leaves behind.
"""
