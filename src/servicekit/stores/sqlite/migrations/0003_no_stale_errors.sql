-- What made an earlier attempt fail is in `attempts` alone, until the job has ended. Jobs that have ended keep what they
-- say, and so do the events of their past.

UPDATE events SET error = NULL, error_traceback = NULL
WHERE job_id IN (SELECT id FROM jobs WHERE status IN ('pending', 'running') AND error IS NOT NULL);

UPDATE jobs SET error = NULL, error_traceback = NULL
WHERE status IN ('pending', 'running') AND error IS NOT NULL;
