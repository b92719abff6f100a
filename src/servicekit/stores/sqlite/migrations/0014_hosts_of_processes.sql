-- What a process calls its machine. Containers on one machine can share the file, and each calls the machine otherwise.
-- NULL: an earlier version has registered the process.

ALTER TABLE processes ADD COLUMN host TEXT;
