-- Whose jobs they are. A job without an owner pays nothing for it. The column `owner` of jobs is a process.

ALTER TABLE jobs ADD COLUMN owned_by TEXT;   -- whose job it is; NULL: nobody's
ALTER TABLE events ADD COLUMN owned_by TEXT; -- of a deletion: whose job it was

CREATE INDEX jobs_by_owner ON jobs (owned_by, status, id) WHERE owned_by IS NOT NULL;

-- How many jobs of each owner have each status, without those that are hidden.
CREATE TABLE owner_counts (
    owned_by TEXT NOT NULL,
    status TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (owned_by, status)
) WITHOUT ROWID;

CREATE TRIGGER owner_counted AFTER INSERT ON jobs WHEN NEW.owned_by IS NOT NULL BEGIN
    INSERT INTO owner_counts VALUES (NEW.owned_by, NEW.status, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER owner_moved AFTER UPDATE OF status, is_deleted, owned_by ON jobs
WHEN NEW.owned_by IS NOT NULL OR OLD.owned_by IS NOT NULL
BEGIN
    UPDATE owner_counts SET jobs = jobs - 1
    WHERE owned_by = OLD.owned_by AND status = OLD.status AND NOT OLD.is_deleted;
    INSERT INTO owner_counts SELECT NEW.owned_by, NEW.status, 1 WHERE NEW.owned_by IS NOT NULL AND NOT NEW.is_deleted
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER owner_removed AFTER DELETE ON jobs WHEN OLD.owned_by IS NOT NULL AND NOT OLD.is_deleted BEGIN
    UPDATE owner_counts SET jobs = jobs - 1 WHERE owned_by = OLD.owned_by AND status = OLD.status;
END;

CREATE TRIGGER owner_count_emptied AFTER UPDATE OF jobs ON owner_counts WHEN NEW.jobs <= 0 BEGIN
    DELETE FROM owner_counts WHERE owned_by = NEW.owned_by AND status = NEW.status;
END;
