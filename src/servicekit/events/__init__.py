"""The hub passes events from the stores to readers and listeners.

Guarantees. A mailbox gets every event of its job, in order, from the moment it was opened. It is bounded: it keeps
every change of status, of which a job has only a few, and the newest of all other changes. To publish an event never
waits, so that a reader that has stopped reading delays nobody.

A reader opens its mailbox first, and reads the store afterwards. So it misses nothing. It can get the same record
twice, and knows that by the record's `version`. `servicekit.engine.job_reader` does this for all kinds of readers.

Lines of a job's log do not pass through the hub. Readers of the log are told that there may be new lines, and read them
from the store.

A process that dies loses its mailboxes, and nothing else: its readers connect again, and begin with what the store has.
"""
