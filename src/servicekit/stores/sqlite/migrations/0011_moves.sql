-- Another program may change the status and the queue of a job by one statement: it is counted once.

DROP TRIGGER job_moved;

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

DROP TRIGGER job_moved_to_queue;

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
