"""The domain: the values and the rules of jobs. It does no I/O, and knows of no store, no runner and no engine."""
