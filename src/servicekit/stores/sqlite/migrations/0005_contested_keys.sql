-- Concurrency keys that jobs wait for, perhaps while one has a place that could not start, since its queue is paused or
-- full. A claim looks at some of them, those first that were not looked at for longest, and forgets those of which that is
-- not so.

CREATE TABLE contested_keys (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE
);

CREATE INDEX jobs_by_key_and_queue ON jobs (concurrency_key, queue, concurrency_limit, priority DESC, turn)
WHERE waits_for = 'key' AND finished_at IS NULL;

CREATE INDEX queues_paused ON queues (name) WHERE is_paused;

INSERT INTO contested_keys (key) SELECT DISTINCT concurrency_key FROM key_seekers;

CREATE TRIGGER key_contested AFTER INSERT ON jobs WHEN NEW.waits_for = 'key' BEGIN
    INSERT INTO contested_keys (key) VALUES (NEW.concurrency_key) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER key_contested_again AFTER UPDATE OF waits_for ON jobs
WHEN NEW.concurrency_key IS NOT NULL AND NEW.waits_for IS NOT OLD.waits_for
BEGIN
    INSERT INTO contested_keys (key) VALUES (NEW.concurrency_key) ON CONFLICT DO NOTHING;
END;

-- A job that was taken back is ready once more, with its place.
CREATE TRIGGER key_contested_by_return AFTER UPDATE OF status ON jobs
WHEN NEW.concurrency_key IS NOT NULL AND NEW.status = 'pending' AND OLD.status = 'running'
BEGIN
    INSERT INTO contested_keys (key) VALUES (NEW.concurrency_key) ON CONFLICT DO NOTHING;
END;
