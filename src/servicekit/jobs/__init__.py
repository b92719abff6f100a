"""The domain: what a job is, the life it can have, and what is known about it. No I/O, no clock, no event loop."""
