-- Which jobs were submitted again. A job that repeats none pays nothing for it.

CREATE INDEX jobs_by_repeated ON jobs (retry_of) WHERE retry_of IS NOT NULL;
