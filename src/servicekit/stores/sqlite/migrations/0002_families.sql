-- The job that a job was submitted by, what users keep with it, and where it runs. Jobs that have none of the first two
-- pay nothing for them.

ALTER TABLE jobs ADD COLUMN parent TEXT;   -- the job that submitted it
ALTER TABLE jobs ADD COLUMN metadata TEXT; -- JSON; NULL if there is none
ALTER TABLE jobs ADD COLUMN process TEXT;  -- host:pid of the process that runs it, or ran its last attempt

CREATE INDEX jobs_by_parent ON jobs (parent, id) WHERE parent IS NOT NULL;

-- What jobs can be found by: those values of their metadata that are short texts, whole numbers or booleans, as texts.
CREATE TABLE job_metadata (
    key TEXT NOT NULL,
    word TEXT NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (key, word, job_id)
) WITHOUT ROWID;

CREATE INDEX job_metadata_by_job ON job_metadata (job_id);

CREATE TRIGGER metadata_hidden AFTER UPDATE OF is_deleted ON jobs
WHEN NEW.is_deleted > OLD.is_deleted AND NEW.metadata IS NOT NULL
BEGIN
    DELETE FROM job_metadata WHERE job_id = NEW.id;
END;

CREATE TRIGGER metadata_removed AFTER DELETE ON jobs WHEN OLD.metadata IS NOT NULL BEGIN
    DELETE FROM job_metadata WHERE job_id = OLD.id;
END;
