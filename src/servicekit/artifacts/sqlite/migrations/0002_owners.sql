-- Whose artifacts they are. It stands behind the content, since SQLite adds columns there; the header of a row says that
-- an artifact has no owner, so lists do not read the content of those.

ALTER TABLE artifacts ADD COLUMN owner TEXT; -- NULL: nobody's

-- With what the statistics of an owner need.
CREATE INDEX artifacts_by_owner ON artifacts (owner, number, kind, size, sha256) WHERE owner IS NOT NULL;
