-- When a message reached the archive, by the clock of the database: later than its receipt by as long as the way was down.
-- NULL for what was archived before this release.

ALTER TABLE raw_message ADD COLUMN archived_at timestamptz;
ALTER TABLE raw_message ALTER COLUMN archived_at SET DEFAULT now();
