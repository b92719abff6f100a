-- Whose turn it is among queues, so that a claim looks at no more of them than it takes jobs. Triggers note only of which
-- queues something has changed; where these stand now is found out by the next claim for which that matters.

CREATE TABLE moved_queues (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;

-- The queues with jobs that are ready for an owner (0: anybody) and a runner; without those that are paused. Next is the
-- one with the fewest running jobs, and of these the one that was served longest ago.
CREATE TABLE queue_turns (
    owner INTEGER NOT NULL,
    runner TEXT NOT NULL,
    running INTEGER NOT NULL,
    served INTEGER NOT NULL,
    queue TEXT NOT NULL,
    PRIMARY KEY (owner, runner, running, served, queue)
) WITHOUT ROWID;

CREATE INDEX queue_turns_by_queue ON queue_turns (queue);
CREATE INDEX queues_by_service ON queues (served);

INSERT INTO moved_queues SELECT DISTINCT queue FROM counts;

CREATE TRIGGER queue_moved_by_submission AFTER INSERT ON jobs BEGIN
    INSERT INTO moved_queues VALUES (NEW.queue) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER queue_moved AFTER UPDATE OF status, waits_for, owner ON jobs BEGIN
    INSERT INTO moved_queues VALUES (NEW.queue) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER queue_moved_by_removal AFTER DELETE ON jobs BEGIN
    INSERT INTO moved_queues VALUES (OLD.queue) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER queue_moved_by_first_pause AFTER INSERT ON queues WHEN NEW.is_paused BEGIN
    INSERT INTO moved_queues VALUES (NEW.name) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER queue_moved_by_pause AFTER UPDATE OF is_paused ON queues BEGIN
    INSERT INTO moved_queues VALUES (NEW.name) ON CONFLICT DO NOTHING;
END;

-- What counts nothing is not kept: there may be as many queues as there have ever been users.
DELETE FROM counts WHERE jobs = 0;

CREATE TRIGGER count_emptied AFTER UPDATE OF jobs ON counts WHEN NEW.jobs = 0 BEGIN
    DELETE FROM counts WHERE status = NEW.status AND queue = NEW.queue;
END;
