-- Why only the process that accepted a job can run it; NULL if any can, or if an earlier version has accepted it.

ALTER TABLE jobs ADD COLUMN restart_problem TEXT;
