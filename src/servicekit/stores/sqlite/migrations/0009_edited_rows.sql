-- Other programs can write into the file. A job can be removed and hidden whatever its columns have; only one that runs
-- counts as deleted and still running; and whoever moves a job to another queue moves it in the counts as well.

DROP TRIGGER job_hidden;

CREATE TRIGGER job_hidden AFTER UPDATE OF is_deleted ON jobs WHEN NEW.is_deleted AND NOT OLD.is_deleted BEGIN
    UPDATE counts SET jobs = jobs - 1
    WHERE status = NEW.status AND queue = NEW.queue AND NEW.status = 'running';
    INSERT INTO counts SELECT 'deleted', NEW.queue, 1 WHERE NEW.status = 'running'
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    DELETE FROM job_tags WHERE job_id = NEW.id
    AND tag IN (SELECT value FROM json_each(iif(typeof(NEW.tags) = 'text' AND json_valid(NEW.tags), NEW.tags, '[]')));
    -- If its tags are not known, they have to be looked for.
    DELETE FROM job_tags WHERE job_id = NEW.id AND NOT (typeof(NEW.tags) = 'text' AND json_valid(NEW.tags));
END;

DROP TRIGGER job_moved;

-- Another program may change the status and the queue of a job by one statement: it is counted once.
CREATE TRIGGER job_moved AFTER UPDATE OF status ON jobs WHEN NEW.status <> OLD.status BEGIN
    INSERT INTO events (
        job_id, version, is_transition, status, attempt, at, started_at, scheduled_at, cancel_requested_at, progress,
        error, error_traceback
    ) VALUES (
        NEW.id, NEW.version, 1, NEW.status, NEW.attempt, coalesce(NEW.finished_at, NEW.started_at, NEW.submitted_at),
        NEW.started_at, NEW.scheduled_at, NEW.cancel_requested_at, NEW.progress, NEW.error,
        iif(NEW.finished_at IS NULL, NEW.error_traceback, NULL)
    );
    UPDATE counts SET jobs = jobs - 1
    WHERE status = iif(OLD.is_deleted AND OLD.status = 'running', 'deleted', OLD.status) AND queue = OLD.queue;
    INSERT INTO counts VALUES (iif(NEW.is_deleted AND NEW.status = 'running', 'deleted', NEW.status), NEW.queue, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

DROP TRIGGER job_removed;

CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1
    WHERE status = iif(OLD.is_deleted AND OLD.status = 'running', 'deleted', OLD.status) AND queue = OLD.queue;
    DELETE FROM events WHERE job_id = OLD.id AND version IS NOT NULL;
    DELETE FROM results WHERE job_id = OLD.id;
    DELETE FROM logs WHERE job_id = OLD.id;
    DELETE FROM job_tags WHERE job_id = OLD.id
    AND tag IN (SELECT value FROM json_each(iif(typeof(OLD.tags) = 'text' AND json_valid(OLD.tags), OLD.tags, '[]')));
    DELETE FROM job_tags WHERE job_id = OLD.id AND NOT (typeof(OLD.tags) = 'text' AND json_valid(OLD.tags));
END;

CREATE TRIGGER job_moved_to_queue AFTER UPDATE OF queue ON jobs WHEN NEW.queue <> OLD.queue BEGIN
    UPDATE counts SET jobs = jobs - 1
    WHERE status = iif(OLD.is_deleted AND OLD.status = 'running', 'deleted', OLD.status) AND queue = OLD.queue
    AND NEW.status = OLD.status;
    INSERT INTO counts
    SELECT iif(NEW.is_deleted AND NEW.status = 'running', 'deleted', NEW.status), NEW.queue, 1
    WHERE NEW.status = OLD.status
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    INSERT INTO moved_queues VALUES (OLD.queue) ON CONFLICT DO NOTHING;
    INSERT INTO moved_queues VALUES (NEW.queue) ON CONFLICT DO NOTHING;
END;
