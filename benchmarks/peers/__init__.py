"""How each embedded peer runs no-ops: `python -m benchmarks.peers.NAME NAME FOLDER COUNT`, with its own interpreter.

Each module has arrangements (how many workers it has, how its jobs are submitted) and runs the count in the one that is
the fastest in a short trial. None of them imports servicekit, which their environments do not have.
"""
