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
    queue TEXT NOT NULL DEFAULT 'default',
    priority INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL,                 -- of two in one queue with one priority, the lower is claimed first
    waits_for TEXT,                        -- 'time', 'key', or NULL: it is ready, or pending no more
    scheduled_at TEXT,                     -- when it may start, or start again, at the earliest
    expires_at TEXT,                       -- when it has waited too long
    concurrency_key TEXT,                  -- of the jobs with the same one, so many are ready or running
    concurrency_limit INTEGER,
    options TEXT,                          -- JSON of all that was asked for; NULL if that is nothing
    status TEXT NOT NULL DEFAULT 'pending',
    version INTEGER NOT NULL DEFAULT 1,    -- counts every change
    attempt INTEGER NOT NULL DEFAULT 0,    -- counts every start
    spared INTEGER NOT NULL DEFAULT 0,     -- starts that ended with an orderly stop, and do not count as restarts
    failures INTEGER NOT NULL DEFAULT 0,   -- starts that ended with an error, and were followed by another
    attempts TEXT,                         -- JSON: [[attempt, started_at, finished_at, error, ended_by], ...], those past
    max_restarts INTEGER NOT NULL,
    runner TEXT NOT NULL,
    target TEXT,                           -- module:name; NULL if only its owner can run it
    arguments TEXT,                        -- JSON: {"args": [...], "kwargs": {...}}
    owner INTEGER,                         -- the process that runs it, or the only one that can
    submitted_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    cancel_requested_at TEXT,
    progress TEXT,                         -- JSON: [done, total, message, reported_at]
    error TEXT,
    error_traceback TEXT,
    ended_by TEXT,
    artifact_id TEXT,
    retry_of TEXT,                         -- the job that this one repeats
    schedule TEXT,                         -- the name of the schedule that submitted it
    idempotency_key TEXT,
    fingerprint TEXT,                      -- of the target and the arguments, where there is a key
    is_deleted INTEGER NOT NULL DEFAULT 0  -- deleted while it ran: not shown, and removed when the work has ended
) WITHOUT ROWID;

CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_end ON jobs (status, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (name, id);
-- A claim reads the first of each range of it, and never a job that it cannot have.
CREATE INDEX jobs_ready ON jobs (queue, owner, runner, priority DESC, turn)
WHERE status = 'pending' AND waits_for IS NULL;
CREATE INDEX jobs_scheduled ON jobs (scheduled_at) WHERE waits_for = 'time';
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX jobs_by_concurrency ON jobs (concurrency_key, waits_for, concurrency_limit, priority DESC, turn)
WHERE concurrency_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX jobs_owned ON jobs (status, owner) WHERE owner IS NOT NULL;
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

-- What a job has to say while it runs.
CREATE TABLE logs (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,               -- counts the lines of the job
    at TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    text TEXT NOT NULL,
    bytes_so_far INTEGER NOT NULL,         -- of all the job's lines up to this one
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

-- What is known of a queue beside its jobs. It may have no row.
CREATE TABLE queues (
    name TEXT NOT NULL PRIMARY KEY,
    is_paused INTEGER NOT NULL DEFAULT 0,
    served INTEGER NOT NULL DEFAULT 0      -- whose number is lower was served longer ago, when there were several to serve
) WITHOUT ROWID;

CREATE TABLE schedules (
    name TEXT NOT NULL PRIMARY KEY,
    timetable TEXT NOT NULL,
    target TEXT NOT NULL,                  -- module:name
    target_name TEXT NOT NULL,
    arguments TEXT NOT NULL,
    runner TEXT NOT NULL,
    options TEXT,                          -- JSON, as in jobs
    missed TEXT NOT NULL,
    overlap TEXT NOT NULL,
    is_paused INTEGER NOT NULL DEFAULT 0,
    next_at TEXT,                          -- NULL: there are no more ticks
    last_at TEXT,
    last_job_id TEXT
) WITHOUT ROWID;

-- How many jobs of each queue have each status, kept by triggers. 'deleted' counts those that are hidden and still run.
CREATE TABLE counts (
    status TEXT NOT NULL,
    queue TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (status, queue)
) WITHOUT ROWID;

CREATE TABLE turns (
    last INTEGER NOT NULL,                 -- the last that was given out: who becomes ready next stands behind it
    again INTEGER NOT NULL                 -- how often one was given to a job that was there before, and is ready now
);

INSERT INTO turns VALUES (0, 0);

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
    scheduled_at TEXT,
    cancel_requested_at TEXT,
    progress TEXT,
    error TEXT,
    error_traceback TEXT                   -- of an earlier attempt; that of the last one is the job's
);

-- Deletions are kept in the log for a day. A reader who has not read up to the newest that was removed begins anew.
CREATE TABLE forgotten (
    position INTEGER NOT NULL
);

INSERT INTO forgotten VALUES (0);

CREATE INDEX events_by_job ON events (job_id, version);
CREATE INDEX events_of_deletion ON events (position) WHERE version IS NULL;

CREATE TRIGGER job_submitted AFTER INSERT ON jobs BEGIN
    INSERT INTO events (job_id, version, is_transition, status, attempt, at, scheduled_at)
    VALUES (NEW.id, NEW.version, 1, NEW.status, NEW.attempt, NEW.submitted_at, NEW.scheduled_at);
    INSERT INTO counts VALUES (NEW.status, NEW.queue, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    UPDATE turns SET last = max(last, NEW.turn);
END;

CREATE TRIGGER job_moved AFTER UPDATE OF status ON jobs WHEN NEW.status <> OLD.status BEGIN
    INSERT INTO events (
        job_id, version, is_transition, status, attempt, at, started_at, scheduled_at, cancel_requested_at, progress,
        error, error_traceback
    ) VALUES (
        NEW.id, NEW.version, 1, NEW.status, NEW.attempt, coalesce(NEW.finished_at, NEW.started_at, NEW.submitted_at),
        NEW.started_at, NEW.scheduled_at, NEW.cancel_requested_at, NEW.progress, NEW.error,
        iif(NEW.finished_at IS NULL, NEW.error_traceback, NULL)
    );
    UPDATE counts SET jobs = jobs - 1 WHERE status = iif(OLD.is_deleted, 'deleted', OLD.status) AND queue = NEW.queue;
    INSERT INTO counts VALUES (iif(NEW.is_deleted, 'deleted', NEW.status), NEW.queue, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

-- Of what is no change of status, the newest is enough.
CREATE TRIGGER job_touched AFTER UPDATE OF version ON jobs WHEN NEW.status = OLD.status BEGIN
    DELETE FROM events WHERE job_id = NEW.id AND version = OLD.version AND NOT is_transition;
    INSERT INTO events (
        job_id, version, is_transition, status, attempt, at, started_at, scheduled_at, cancel_requested_at, progress,
        error
    ) VALUES (
        NEW.id, NEW.version, 0, NEW.status, NEW.attempt, coalesce(NEW.finished_at, NEW.started_at, NEW.submitted_at),
        NEW.started_at, NEW.scheduled_at, NEW.cancel_requested_at, NEW.progress, NEW.error
    );
END;

CREATE TRIGGER job_hidden AFTER UPDATE OF is_deleted ON jobs WHEN NEW.is_deleted > OLD.is_deleted BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = NEW.status AND queue = NEW.queue;
    INSERT INTO counts VALUES ('deleted', NEW.queue, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    DELETE FROM job_tags WHERE job_id = NEW.id AND tag IN (SELECT value FROM json_each(NEW.tags));
END;

CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = iif(OLD.is_deleted, 'deleted', OLD.status) AND queue = OLD.queue;
    DELETE FROM events WHERE job_id = OLD.id AND version IS NOT NULL;
    DELETE FROM results WHERE job_id = OLD.id;
    DELETE FROM logs WHERE job_id = OLD.id;
    DELETE FROM job_tags WHERE job_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));
END;

CREATE TRIGGER job_readied AFTER UPDATE OF turn ON jobs WHEN NEW.turn <> OLD.turn BEGIN
    UPDATE turns SET last = max(last, NEW.turn), again = again + 1;
END;

-- Concurrency keys. Whoever makes a job wait for its key need not look whether it must, and whoever lets one go need
-- not know who is next. A job waits only while as many as its limit hold its key; so one that lets go makes room for one
-- job whose limit is just that, if there is any.

CREATE VIEW key_holders AS
SELECT id, concurrency_key FROM jobs
WHERE concurrency_key IS NOT NULL AND waits_for IS NULL AND finished_at IS NULL;

CREATE VIEW key_seekers AS
SELECT id, concurrency_key, concurrency_limit, priority, turn FROM jobs
WHERE concurrency_key IS NOT NULL AND waits_for = 'key' AND finished_at IS NULL;

CREATE TRIGGER key_sought_at_once AFTER INSERT ON jobs WHEN NEW.waits_for = 'key' BEGIN
    UPDATE jobs SET waits_for = NULL WHERE id = NEW.id
    AND NEW.concurrency_limit > (SELECT count(*) FROM key_holders WHERE concurrency_key = NEW.concurrency_key);
END;

CREATE TRIGGER key_sought AFTER UPDATE OF waits_for ON jobs WHEN NEW.waits_for = 'key' BEGIN
    UPDATE jobs SET waits_for = NULL WHERE id = NEW.id
    AND NEW.concurrency_limit > (SELECT count(*) FROM key_holders WHERE concurrency_key = NEW.concurrency_key);
END;

CREATE TRIGGER key_let_go AFTER UPDATE OF waits_for, finished_at ON jobs
WHEN OLD.concurrency_key IS NOT NULL AND OLD.waits_for IS NULL AND OLD.finished_at IS NULL
    AND (NEW.waits_for IS NOT NULL OR NEW.finished_at IS NOT NULL)
BEGIN
    UPDATE jobs SET waits_for = NULL, turn = (SELECT last + 1 FROM turns) WHERE id = (
        SELECT id FROM key_seekers WHERE concurrency_key = OLD.concurrency_key
        AND concurrency_limit > (SELECT count(*) FROM key_holders WHERE concurrency_key = OLD.concurrency_key)
        ORDER BY concurrency_limit, priority DESC, turn LIMIT 1
    );
END;

CREATE TRIGGER key_let_go_by_removal AFTER DELETE ON jobs
WHEN OLD.concurrency_key IS NOT NULL AND OLD.waits_for IS NULL AND OLD.finished_at IS NULL
BEGIN
    UPDATE jobs SET waits_for = NULL, turn = (SELECT last + 1 FROM turns) WHERE id = (
        SELECT id FROM key_seekers WHERE concurrency_key = OLD.concurrency_key
        AND concurrency_limit > (SELECT count(*) FROM key_holders WHERE concurrency_key = OLD.concurrency_key)
        ORDER BY concurrency_limit, priority DESC, turn LIMIT 1
    );
END;
