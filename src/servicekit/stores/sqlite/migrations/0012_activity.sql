-- What each process has counted of jobs in each minute of the last hours. A row is replaced until its minute has ended.

CREATE TABLE activity (
    owned_by TEXT NOT NULL,                -- whose jobs; '': all jobs
    minute INTEGER NOT NULL,               -- since the beginning of 1970, UTC
    source TEXT NOT NULL,                  -- who has counted
    groups TEXT NOT NULL,                  -- JSON: see `stores/durable/activity_rows.py`
    PRIMARY KEY (owned_by, minute, source)
) WITHOUT ROWID;

CREATE INDEX activity_by_minute ON activity (minute);
