"""Services and workers of many machines at one server: every promise of theirs, under load and in outages.

Tests that take longer than some seconds are marked as soaks, and run by `python -m tests.many_machines` alone, which
prints a table of all.
"""
