CREATE TABLE artifacts (
    number INTEGER PRIMARY KEY, -- in the order of saving; pages go along it
    id TEXT NOT NULL UNIQUE,
    parent_id TEXT,
    level INTEGER NOT NULL,
    level_label TEXT,
    kind TEXT NOT NULL,
    name TEXT,
    media_type TEXT NOT NULL,
    is_table INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    metadata TEXT NOT NULL, -- a JSON object
    tags TEXT NOT NULL, -- a JSON list
    job_id TEXT,
    attempt INTEGER,
    origin TEXT NOT NULL,
    keep TEXT,
    created_at INTEGER NOT NULL, -- microseconds since 1970
    updated_at INTEGER NOT NULL,
    json_text TEXT -- the content, if it is small JSON; NULL if it is a blob. The last column: lists do not read it
);

-- With what the statistics and retention need, so that they do not read the rows, which may have content.
CREATE INDEX artifacts_by_kind ON artifacts (kind, number, size, sha256, keep);

CREATE INDEX artifacts_by_parent ON artifacts (parent_id, number) WHERE parent_id IS NOT NULL;

CREATE INDEX artifacts_by_job ON artifacts (job_id, number) WHERE job_id IS NOT NULL;

CREATE INDEX artifacts_by_blob ON artifacts (sha256) WHERE json_text IS NULL;

CREATE INDEX artifacts_kept_for_jobs ON artifacts (job_id) WHERE keep = 'job';

CREATE TABLE tags (
    tag TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (tag, number)
) WITHOUT ROWID;

-- Which kind stands where. All processes obey it, also one that knows nothing but the folder.
CREATE TABLE hierarchies (
    kind TEXT PRIMARY KEY,
    hierarchy TEXT NOT NULL,
    parent_kind TEXT -- NULL: it has no parent
) WITHOUT ROWID;
