-- Who let a feed's messages into production, on what evidence, and who stopped it. Rows are only ever added: the newest of
-- a feed counts. Hospital and feed by name, for a feed is activated before its first message.

CREATE TABLE feed_activation (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  hospital text NOT NULL,
  feed text NOT NULL,
  is_active bool NOT NULL,
  by text NOT NULL,
  report_sha256 text, -- of the acceptance report's JSON
  configuration_sha256 text, -- of what the configuration says of how the feed is read
  reason text, -- of an activation without a report, or of its end
  CHECK (NOT is_active OR report_sha256 IS NOT NULL OR reason IS NOT NULL)
);
CREATE INDEX feed_activation_feed ON feed_activation (hospital, feed, id);

CREATE FUNCTION feed_activation_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'feed_activation is only ever added to';
END $$;
CREATE TRIGGER feed_activation_stays BEFORE UPDATE OR DELETE ON feed_activation
  FOR EACH ROW EXECUTE FUNCTION feed_activation_stays();

-- What runs in production already goes on.
INSERT INTO feed_activation (at, hospital, feed, is_active, by, reason)
SELECT now(), h.code, f.name, true, 'migration 0010', 'was in production before activation was asked for'
FROM feed f JOIN hospital h ON h.id = f.hospital_id WHERE f.environment = 'production';
