-- How the clock was set when the times in the file were written, in one row: see `stores/sqlite/clock.py`.

CREATE TABLE clock (
    origin TEXT,                           -- what makes settings comparable; NULL: nothing does
    seconds REAL NOT NULL,                 -- the time of day, less that of a clock that nobody sets
    seen_at TEXT NOT NULL,                 -- what it showed then
    position INTEGER NOT NULL              -- of the newest event then
);
