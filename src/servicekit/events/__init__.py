"""Passing events on, from whoever changes a job to whoever watches it.

Guarantees. A mailbox gets every event of its job from the moment it was opened, in order. What it gets is bounded:
it keeps every change of status (a life has only a few), and of everything else the newest. Publishing never waits,
so that a reader who has stopped reading delays nobody.

Opening a mailbox first and reading the store afterwards misses nothing; what comes twice that way is told apart by
the record's `version`. That is what `servicekit.engine.job_reader` does, for all kinds of readers.

Lines of a job's log are not passed on: those who follow it are told that there may be new ones, and read the store.
"""
