-- Whose the file is, and which processes could make nothing of a job.

ALTER TABLE jobs ADD COLUMN declined_by TEXT;  -- JSON: the processes that cannot run it, by their ids; NULL if none
ALTER TABLE processes ADD COLUMN service TEXT; -- what the service of the process is called, if that is known
ALTER TABLE processes ADD COLUMN runs_jobs INTEGER NOT NULL DEFAULT 0; -- it has claimed jobs, and may claim more

CREATE TABLE service (
    name TEXT NOT NULL                         -- of the service that was the last to start with this file, in one row
);
