-- The jobs of one owner among those that a job has submitted. Jobs without a parent or an owner pay nothing for it.

CREATE INDEX jobs_by_parent_and_owner ON jobs (parent, owned_by, id) WHERE parent IS NOT NULL AND owned_by IS NOT NULL;
