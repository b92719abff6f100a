"""The launcher: a small process beside the service that starts the processes of jobs, and sees to their end.

`main` is executed by the path of its file. The other end of its socket is `servicekit.runners.launcher`. The page in
`servicekit.runners` says which process watches which, and what that promises.

In the launcher this package has another name, and its modules import each other by relative names. So the launcher
imports nothing of `servicekit` before a call in Python needs it. It starts fast, and the processes that are forked for
commands hold nothing but a few modules of the standard library.

    main            the program: makes the package known by its other name, and starts the loop
    fork_server     the loop: takes requests from the service's socket, forks, takes note of ends
    process_pair    a supervisor and the process of its work, forked before their job comes
    supervisor      watches one job's work, obeys the service's orders, ends what is left
    beginning       the work begins: executes a program, or calls a function
    preloading      imports what calls need
    fork_safety     what must be as it was for processes to be forked after that
    memory          how much memory a job holds
    processes       the processes that descend from this one, read from /proc
    forks           ends of children, orphans
    descriptors     the open descriptors of this process
    messages        what the service, the launcher and the processes of a job say to each other
"""
