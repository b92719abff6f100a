-- What artifacts and tasks keep beside the jobs.

CREATE TABLE servicekit.artifacts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of saving; pages go along it
    id text COLLATE "C" NOT NULL UNIQUE,
    parent_id text COLLATE "C",
    level bigint NOT NULL,
    level_label text,
    kind text COLLATE "C" NOT NULL,
    name text,
    media_type text NOT NULL,
    is_table boolean NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    metadata text NOT NULL,                -- a JSON object
    tags text NOT NULL,                    -- a JSON list
    job_id text COLLATE "C",
    attempt bigint,
    origin text NOT NULL,
    keep text COLLATE "C",
    owner text COLLATE "C",                -- whose it is; NULL: nobody's
    created_at bigint NOT NULL,            -- microseconds since 1970
    updated_at bigint NOT NULL,
    json_text text                         -- the content, if it is small JSON; NULL if it is a blob
);

-- With what the statistics and retention need, so that they do not read the rows, which may have content.
CREATE INDEX artifacts_by_kind ON servicekit.artifacts (kind, number) INCLUDE (size, sha256, keep);
CREATE INDEX artifacts_by_owner ON servicekit.artifacts (owner, number) INCLUDE (kind, size, sha256)
WHERE owner IS NOT NULL;
CREATE INDEX artifacts_by_parent ON servicekit.artifacts (parent_id, number) WHERE parent_id IS NOT NULL;
CREATE INDEX artifacts_by_job ON servicekit.artifacts (job_id, number) WHERE job_id IS NOT NULL;
CREATE INDEX artifacts_by_blob ON servicekit.artifacts (sha256) WHERE json_text IS NULL;
CREATE INDEX artifacts_kept_for_jobs ON servicekit.artifacts (job_id) WHERE keep = 'job';

CREATE TABLE servicekit.artifact_tags (
    tag text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (tag, number)
);

CREATE INDEX artifact_tags_by_number ON servicekit.artifact_tags (number);

-- Which kind stands where. All processes obey it.
CREATE TABLE servicekit.artifact_kinds (
    kind text COLLATE "C" PRIMARY KEY,
    hierarchy text COLLATE "C" NOT NULL,
    parent_kind text COLLATE "C"           -- NULL: it has no parent
);

-- A text that is a blob among the others. By it a process knows that it has the blobs of these rows before it.
CREATE TABLE servicekit.artifact_marks (
    mark text NOT NULL,
    sha256 bytea NOT NULL,
    is_placed boolean NOT NULL DEFAULT false
);

-- What clients decide about tasks.
CREATE TABLE servicekit.tasks (
    name text COLLATE "C" PRIMARY KEY,
    is_enabled boolean NOT NULL,
    template text,                         -- JSON; NULL for a task of the service's code
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Counts the changes of tasks, so that a process knows by one number that it has read them all.
CREATE TABLE servicekit.task_changes (
    number bigint NOT NULL
);

INSERT INTO servicekit.task_changes VALUES (0);
