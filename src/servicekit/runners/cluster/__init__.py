"""Running the works of jobs on the nodes of a cluster.

Where a work runs is the cluster's business; how it runs is the business of the launcher (see `servicekit.runners`). So
a node runs a launcher of its own for the works that come there, and cancellation, memory limits, children, output and
outcomes are what they are on this machine.

    service ══ requests ══▶ gateway ── sends tasks ──▶ cluster ── starts ──▶ host ── launcher, supervisor, work
       ║                     ║   ║                                            ║
       ╚═════ control, ══════╝   ╚═══════════════ mailbox ════════════════════╝
              reports, outcome

- The *gateway* is the driver of the cluster, in a process of its own beside the service (`gateway`, `gateway_work`).
  To the service it is what launcher and supervisor are: it takes the same requests, with the same descriptors. The
  cluster's library is imported there and on the nodes, and never in the service, which it could end.
- The *host* is a task of the cluster that holds what the job demands (`host`). It runs the work, and says what comes
  out of it. What a short work says comes with the end of its task. Before it begins, it asks the mailbox: a task may
  have waited for minutes, and the gateway may be dead by then, or may have given the work up.
- The *mailbox* is an actor on the driver's node, by which gateway and hosts speak to each other (`mailbox`).
  A host repeats a call of it that fails, and so does the gateway with its orders. What must not come twice has a
  number (`gateway_posts`). If the gateway cannot collect, it ends.
- `ray_cluster` is all that knows Ray. `placement` knows what the nodes have free.

The cluster tries nothing again by itself: what becomes of a job whose work was lost is up to the job's options.

What happens when something dies:

| what                    | what happens                                                                             |
|-------------------------|------------------------------------------------------------------------------------------|
| the host                | Its supervisor kills the work. The attempt has crashed when the node says that this is   |
|                         | done (see `mark`), or some time after it was asked in vain.                              |
| its node                | Nothing is left of the work, and the attempt has crashed. The error says what was lost.  |
| the service             | The sockets end. The gateway has all works killed, and ends.                             |
| the gateway             | The cluster ends its tasks, or each host does when it has missed the gateway for         |
|                         | `BEAT_SECONDS`. The attempts have crashed, `GONE_SECONDS` later. Another gateway starts. |
|                         | One that only stands still is killed by the service within half a minute.                |
| the cluster, or its head| The same: the gateway ends when the mailbox does not answer.                             |
| the machine of the      | Each host misses the gateway.                                                            |
| service                 |                                                                                          |

As long as anything may be left of a work, the gateway has the guard of its job open. If service and gateway are killed
at once, as by the system for a whole group of processes, nobody has. Or the gateway stands still, or has lost the
cluster, when its service is killed. Then the work goes on for up to `BEAT_SECONDS`. So what a dead process has run on a
cluster is taken over `GONE_SECONDS` after others have seen that it is dead (`stores.durable.dead_processes`).
"""
