"""What the tests of a service need: a scheduler whose time stands still, and an application that uses it.

    FakeClock            a clock that moves when it is told to
    TestScheduler        a scheduler in memory on such a clock, with `advance` and `drain`
    running              an application that runs, with such a scheduler in place of its own
    use_test_scheduler   the same for whoever runs the application otherwise, such as a test client
    NotDrained           how a test fails whose jobs do not end

`servicekit.testing.fixtures` has the pytest fixture `jobs`. `servicekit.testing.stores` is the suite for stores,
`servicekit.testing.runners` the one for runners, and `servicekit.testing.artifacts` the ones for places of artifacts.

Time. Jobs really run, and everything that they wait for by time (a delay, the wait before a retry, a time limit, the
tick of a schedule) waits by the clock. That jumps from one moment at which somebody waits to the next, and rests at
each until nothing more happens: the event loop has nothing to do, the store has answered, and no attempt works. So what
happens in a year happens in order, each at its own time, in milliseconds.

An attempt works until it has ended, or sleeps by the clock. What else it may wait for cannot be seen: the end of its
thread, a socket, an event that nobody will set. So time stands still for it, but only for a while of real time: then
the attempt is taken to hang, and time moves on, perhaps to its time limit.
"""

from servicekit.testing.app import running, use_test_scheduler
from servicekit.testing.clock import FakeClock
from servicekit.testing.scheduler import NotDrained, TestScheduler

__all__ = ["FakeClock", "NotDrained", "TestScheduler", "running", "use_test_scheduler"]
