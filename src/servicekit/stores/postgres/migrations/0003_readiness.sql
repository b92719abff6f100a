-- What kinds of jobs a process can run. NULL: an earlier version has registered it.

ALTER TABLE servicekit.processes
    ADD COLUMN runners text,               -- a JSON list
    ADD COLUMN problems text;              -- a JSON object: why jobs of some kinds cannot begin there
