-- Of a job that is tried again and again the newest changes of status are kept: MAX_TRANSITIONS in `jobs/record.py`.

CREATE TRIGGER history_cut AFTER UPDATE OF status ON jobs WHEN NEW.status = 'pending' AND NEW.attempt >= 50 BEGIN
    DELETE FROM events WHERE job_id = NEW.id AND version <= (
        SELECT version FROM events WHERE job_id = NEW.id AND is_transition ORDER BY version DESC LIMIT 1 OFFSET 100
    );
END;
