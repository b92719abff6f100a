-- Times are UTC in ISO 8601, statuses are words, arguments and results JSON: readable in the sqlite3 shell.

CREATE TABLE processes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL,
    lock TEXT NOT NULL,                    -- the file that it holds locked for as long as it lives
    started_at TEXT NOT NULL,
    is_stopping INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,          -- a ULID: sorts by the time of submission
    name TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',       -- JSON
    status TEXT NOT NULL DEFAULT 'pending',
    version INTEGER NOT NULL DEFAULT 1,    -- counts every change
    attempt INTEGER NOT NULL DEFAULT 0,    -- counts every start
    spared INTEGER NOT NULL DEFAULT 0,     -- starts that ended with an orderly stop, and do not count as restarts
    max_restarts INTEGER NOT NULL,
    runner TEXT NOT NULL,
    target TEXT,                           -- module:name; NULL if only its owner can run it
    arguments TEXT,                        -- JSON: {"args": [...], "kwargs": {...}}
    owner INTEGER,                         -- the process that runs it, or the only one that can
    submitted_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    cancel_requested_at TEXT,
    progress TEXT,                         -- JSON: [done, total, message]
    error TEXT,
    error_traceback TEXT,
    artifact_id TEXT,
    idempotency_key TEXT,
    fingerprint TEXT,                      -- of the target and the arguments, where there is a key
    is_deleted INTEGER NOT NULL DEFAULT 0  -- deleted while it ran: not shown, and removed when the work has ended
) WITHOUT ROWID;

CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_end ON jobs (status, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (name, id);
CREATE INDEX jobs_waiting ON jobs (owner, runner, id) WHERE status = 'pending';
CREATE INDEX jobs_running ON jobs (owner) WHERE status = 'running';
CREATE UNIQUE INDEX jobs_by_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE job_tags (
    tag TEXT NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (tag, job_id)
) WITHOUT ROWID;

CREATE TABLE results (
    job_id TEXT NOT NULL PRIMARY KEY,
    value TEXT                             -- JSON; NULL if it could not be kept
) WITHOUT ROWID;

-- How many jobs have each status, kept by triggers. 'deleted' counts those that are hidden and still run.
CREATE TABLE counts (
    status TEXT NOT NULL PRIMARY KEY,
    jobs INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO counts VALUES
    ('pending', 0), ('running', 0), ('completed', 0), ('failed', 0), ('canceled', 0), ('deleted', 0);

-- Everything that has happened, in order; written by triggers, so that no change can be left out.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    version INTEGER,                       -- NULL: the job was deleted
    is_transition INTEGER NOT NULL,        -- 0: something else than the status changed
    status TEXT,
    attempt INTEGER,
    at TEXT NOT NULL,                      -- when the status was reached
    started_at TEXT,
    cancel_requested_at TEXT,
    progress TEXT,
    error TEXT
);

-- Deletions are kept in the log for a day. A reader who has not read up to the newest that was removed begins anew.
CREATE TABLE forgotten (
    position INTEGER NOT NULL
);

INSERT INTO forgotten VALUES (0);

CREATE INDEX events_by_job ON events (job_id, version);
CREATE INDEX events_of_deletion ON events (position) WHERE version IS NULL;

CREATE TRIGGER job_submitted AFTER INSERT ON jobs BEGIN
    INSERT INTO events (job_id, version, is_transition, status, attempt, at)
    VALUES (NEW.id, NEW.version, 1, NEW.status, NEW.attempt, NEW.submitted_at);
    UPDATE counts SET jobs = jobs + 1 WHERE status = NEW.status;
END;

CREATE TRIGGER job_moved AFTER UPDATE OF status ON jobs WHEN NEW.status <> OLD.status BEGIN
    INSERT INTO events (
        job_id, version, is_transition, status, attempt, at, started_at, cancel_requested_at, progress, error
    ) VALUES (
        NEW.id, NEW.version, 1, NEW.status, NEW.attempt, coalesce(NEW.finished_at, NEW.started_at, NEW.submitted_at),
        NEW.started_at, NEW.cancel_requested_at, NEW.progress, NEW.error
    );
    UPDATE counts SET jobs = jobs - 1 WHERE status = iif(OLD.is_deleted, 'deleted', OLD.status);
    UPDATE counts SET jobs = jobs + 1 WHERE status = iif(NEW.is_deleted, 'deleted', NEW.status);
END;

-- Of what is no change of status, the newest is enough.
CREATE TRIGGER job_touched AFTER UPDATE OF version ON jobs WHEN NEW.status = OLD.status BEGIN
    DELETE FROM events WHERE job_id = NEW.id AND version = OLD.version AND NOT is_transition;
    INSERT INTO events (
        job_id, version, is_transition, status, attempt, at, started_at, cancel_requested_at, progress, error
    ) VALUES (
        NEW.id, NEW.version, 0, NEW.status, NEW.attempt, coalesce(NEW.finished_at, NEW.started_at, NEW.submitted_at),
        NEW.started_at, NEW.cancel_requested_at, NEW.progress, NEW.error
    );
END;

CREATE TRIGGER job_hidden AFTER UPDATE OF is_deleted ON jobs WHEN NEW.is_deleted > OLD.is_deleted BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = NEW.status;
    UPDATE counts SET jobs = jobs + 1 WHERE status = 'deleted';
    DELETE FROM job_tags WHERE job_id = NEW.id AND tag IN (SELECT value FROM json_each(NEW.tags));
END;

CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = iif(OLD.is_deleted, 'deleted', OLD.status);
    DELETE FROM events WHERE job_id = OLD.id AND version IS NOT NULL;
    DELETE FROM results WHERE job_id = OLD.id;
    DELETE FROM job_tags WHERE job_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));
END;
