-- Times are those of the server. Texts sort by their code points, as they do in Python and in SQLite. The code writes the
-- schema as `servicekit` everywhere; the address says what it is called really (`?schema=`).

CREATE TABLE servicekit.processes (
    number bigint PRIMARY KEY,             -- random: no process ever has that of another one
    name text NOT NULL,                    -- host:pid, for people
    machine text,                          -- whoever has the same sees by `pid` and `pid_started` whether it lives
    pid integer NOT NULL,
    pid_started bigint,
    service text,                          -- what the service of the process is called, if that is known
    shard integer NOT NULL,                -- whose rows in `counts` it changes; no two living processes have the same
    started_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,       -- its last sign of life: see `leases.py`
    is_dead boolean NOT NULL DEFAULT false, -- others take its jobs over: nothing that it writes counts any more
    is_stopping boolean NOT NULL DEFAULT false,
    runs_jobs boolean NOT NULL DEFAULT false, -- it has claimed jobs, and may claim more
    clock_seconds double precision,        -- how the server's clock was set when it last looked, by its own measure ...
    moves_seen bigint NOT NULL DEFAULT 0   -- ... and how often waits had been moved: see `clock.py`
) WITH (fillfactor = 50);

-- How often the ends of waits were moved, since somebody had set the server's clock, in one row.
CREATE TABLE servicekit.clock (
    moves bigint NOT NULL
);

INSERT INTO servicekit.clock VALUES (0);

CREATE SEQUENCE servicekit.turns;

CREATE TABLE servicekit.jobs (
    id text COLLATE "C" PRIMARY KEY,       -- a ULID: sorts by the time of submission
    name text COLLATE "C" NOT NULL,
    tags text NOT NULL DEFAULT '[]',       -- JSON
    queue text COLLATE "C" NOT NULL DEFAULT 'default',
    priority bigint NOT NULL DEFAULT 0,
    turn bigint NOT NULL DEFAULT 0,        -- of two in one queue with one priority, the lower is claimed first
    waits_for text,                        -- 'time', 'key', or NULL: it is ready, or pending no more
    scheduled_at timestamptz,              -- when it may start, or start again, at the earliest
    expires_at timestamptz,                -- when it has waited too long
    concurrency_key text COLLATE "C",      -- of the jobs with the same one, so many are ready or running
    concurrency_limit bigint,
    options text,                          -- JSON of all that was asked for; NULL if that is nothing
    status text COLLATE "C" NOT NULL DEFAULT 'pending',
    version integer NOT NULL DEFAULT 1,    -- counts every change
    attempt integer NOT NULL DEFAULT 0,    -- counts every start
    spared integer NOT NULL DEFAULT 0,     -- starts that ended with an orderly stop, and do not count as restarts
    failures integer NOT NULL DEFAULT 0,   -- starts that ended with an error, and were followed by another
    attempts text,                         -- JSON: [[attempt, started_at, finished_at, error, ended_by, process], ...]
    max_restarts bigint NOT NULL,
    runner text COLLATE "C" NOT NULL,
    target text,                           -- module:name; NULL if only its owner can run it
    arguments text,                        -- JSON: {"args": [...], "kwargs": {...}}
    owner bigint NOT NULL DEFAULT 0,       -- pending: the only process that may run it; else the one that runs it, or
                                           -- that ran its last attempt. 0: none
    process text,                          -- the name of the process that runs it, or ran its last attempt
    declined_by text,                      -- JSON: the processes that cannot run it; NULL if none
    submitted_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    progress text,                         -- JSON: [done, total, message, reported_at]
    error text,
    error_traceback text,
    ended_by text,
    artifact_id text,
    retry_of text,                         -- the job that this one repeats
    schedule text,                         -- the name of the schedule that submitted it
    parent text COLLATE "C",               -- the job that submitted it
    owned_by text COLLATE "C",             -- whose job it is; NULL: nobody's
    metadata text,                         -- JSON; NULL if there is none
    restart_problem text,                  -- why only the process that accepted it can run it
    idempotency_key text COLLATE "C",
    fingerprint text,                      -- of the target and the arguments, where there is a key
    is_deleted boolean NOT NULL DEFAULT false -- deleted while it ran: not shown, and removed when the work has ended
) WITH (
    fillfactor = 70,
    -- What a claim has passed over is removed by a vacuum, and the server looks for what needs one once a minute.
    autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_analyze_threshold = 20000, autovacuum_analyze_scale_factor = 0
);

CREATE INDEX jobs_by_status ON servicekit.jobs (status, id);
CREATE INDEX jobs_by_name ON servicekit.jobs (name, id);
CREATE INDEX jobs_by_parent ON servicekit.jobs (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX jobs_by_parent_and_owner ON servicekit.jobs (parent, owned_by, id)
WHERE parent IS NOT NULL AND owned_by IS NOT NULL;
CREATE INDEX jobs_by_owner ON servicekit.jobs (owned_by, status, id) WHERE owned_by IS NOT NULL;
CREATE INDEX jobs_by_repeated ON servicekit.jobs (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX jobs_by_end ON servicekit.jobs (status, finished_at) WHERE finished_at IS NOT NULL;
-- A claim reads the first of each range of it, and never a job that it cannot have.
CREATE INDEX jobs_ready ON servicekit.jobs (queue, owner, runner, (-priority), turn, id)
WHERE status = 'pending' AND waits_for IS NULL;
CREATE INDEX jobs_scheduled ON servicekit.jobs (scheduled_at) WHERE waits_for = 'time';
CREATE INDEX jobs_expiring ON servicekit.jobs (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX jobs_holding_keys ON servicekit.jobs (concurrency_key)
WHERE concurrency_key IS NOT NULL AND waits_for IS NULL AND finished_at IS NULL;
CREATE INDEX jobs_seeking_keys ON servicekit.jobs (concurrency_key, concurrency_limit, (-priority), turn, id)
WHERE waits_for = 'key' AND finished_at IS NULL;
CREATE INDEX jobs_owned ON servicekit.jobs (owner, status) WHERE owner <> 0 AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_by_key ON servicekit.jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE servicekit.job_tags (
    tag text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, job_id)
);

CREATE INDEX job_tags_by_job ON servicekit.job_tags (job_id);

-- What jobs can be found by: those values of their metadata that are short texts, whole numbers or booleans, as texts.
CREATE TABLE servicekit.job_metadata (
    key text COLLATE "C" NOT NULL,
    word text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, word, job_id)
);

CREATE INDEX job_metadata_by_job ON servicekit.job_metadata (job_id);

CREATE TABLE servicekit.results (
    job_id text COLLATE "C" PRIMARY KEY,
    value text                             -- JSON; NULL if it could not be kept
);

-- What a job has to say while it runs.
CREATE TABLE servicekit.logs (
    job_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,                -- counts the lines of the job
    at timestamptz NOT NULL,
    attempt integer NOT NULL,
    level text NOT NULL,
    source text NOT NULL,
    text text NOT NULL,
    bytes_so_far bigint NOT NULL,          -- of all the job's lines up to this one
    PRIMARY KEY (job_id, number)
);

-- What is known of a queue beside its jobs. It may have no row.
CREATE TABLE servicekit.queues (
    name text COLLATE "C" PRIMARY KEY,
    is_paused boolean NOT NULL DEFAULT false,
    served bigint NOT NULL DEFAULT 0       -- whose number is lower was served longer ago, when there were several to serve
) WITH (fillfactor = 50);

-- Of which kinds jobs have been ready, so that a claim knows the ranges that it has to look at.
CREATE TABLE servicekit.lines (
    queue text COLLATE "C" NOT NULL,
    owner bigint NOT NULL,
    runner text COLLATE "C" NOT NULL,
    rank bigint NOT NULL,                  -- the priority, negative
    PRIMARY KEY (queue, owner, runner, rank)
);

CREATE TABLE servicekit.schedules (
    name text COLLATE "C" PRIMARY KEY,
    timetable text NOT NULL,
    target text NOT NULL,                  -- module:name
    target_name text NOT NULL,
    arguments text NOT NULL,
    runner text NOT NULL,
    options text,                          -- JSON, as in jobs
    missed text NOT NULL,
    overlap text NOT NULL,
    is_paused boolean NOT NULL DEFAULT false,
    next_at timestamptz,                   -- NULL: there are no more ticks
    last_at timestamptz,
    last_job_id text
);

-- How many jobs of each queue have each status: the sum over all shards. A row that all processes changed would have each
-- wait for the others. A shard can be negative. 'deleted' counts those that are hidden and still run.
CREATE TABLE servicekit.counts (
    queue text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (status, queue, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- How many jobs of each owner have each status, without those that are hidden: shards, as in `counts`.
CREATE TABLE servicekit.owner_counts (
    owned_by text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (owned_by, status, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Everything that has happened, in the order of the positions. Who writes takes a shared lock before it takes positions:
-- see `feed.py` for how a reader knows that it has missed none.
CREATE SEQUENCE servicekit.positions;

CREATE TABLE servicekit.events (
    position bigint PRIMARY KEY DEFAULT nextval('servicekit.positions'),
    writer bigint NOT NULL,                -- the process that has made it
    job_id text COLLATE "C" NOT NULL,
    version integer,                       -- NULL: the job was deleted
    is_transition boolean NOT NULL,        -- false: something else than the status changed
    status text,
    attempt integer,
    at timestamptz NOT NULL,               -- when the status was reached
    started_at timestamptz,
    scheduled_at timestamptz,
    cancel_requested_at timestamptz,
    progress text,
    error text,
    error_traceback text,                  -- of an earlier attempt; that of the last one is the job's
    owned_by text COLLATE "C"              -- of a deletion: whose job it was
) WITH (autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX events_by_job ON servicekit.events (job_id, version);
CREATE INDEX events_of_deletion ON servicekit.events (position) WHERE version IS NULL;

-- Deletions are kept in the log for a day. A reader who has not read up to the newest that was removed begins anew.
CREATE TABLE servicekit.forgotten (
    position bigint NOT NULL
);

INSERT INTO servicekit.forgotten VALUES (0);

CREATE TABLE servicekit.service (
    name text NOT NULL                     -- of the service that was the last to start here, in one row
);

-- Where jobs are being moved here from, and up to which position, in one row; none if no move is unfinished.
CREATE TABLE servicekit.unfinished_move (
    location text NOT NULL,
    position bigint NOT NULL
);

-- What each process has counted of jobs in each minute of the last hours. A row is replaced until its minute has ended.
CREATE TABLE servicekit.activity (
    owned_by text COLLATE "C" NOT NULL,    -- whose jobs; '': all jobs
    minute bigint NOT NULL,                -- since the beginning of 1970, UTC
    source text COLLATE "C" NOT NULL,      -- who has counted
    groups text NOT NULL,                  -- JSON: see `stores/durable/activity_rows.py`
    PRIMARY KEY (owned_by, minute, source)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX activity_by_minute ON servicekit.activity (minute);
