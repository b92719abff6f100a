-- What kinds of jobs a process can run, as a JSON list, and why some cannot begin there, as a JSON object.
-- NULL: an earlier version has registered the process.

ALTER TABLE processes ADD COLUMN runners TEXT;
ALTER TABLE processes ADD COLUMN problems TEXT;
