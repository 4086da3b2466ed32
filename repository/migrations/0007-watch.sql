-- What the watch keeps: how many messages each feed sends by hour, and the alerts that came of it.

-- Live lane only. hour: hours since 1970-01-01T00:00+08:00; active_minutes: bit n is set where minute n had a message.
CREATE TABLE feed_hour (
  messages int8 NOT NULL,
  active_minutes int8 NOT NULL,
  feed_id int4 NOT NULL,
  hour int4 NOT NULL,
  PRIMARY KEY (feed_id, hour)
) WITH (fillfactor = 70);

-- Up to where the ledger has been counted into feed_hour.
CREATE TABLE feed_hour_cursor (
  seq int8 NOT NULL,
  feed_id int4 NOT NULL,
  epoch int4 NOT NULL,
  PRIMARY KEY (feed_id, epoch)
) WITH (fillfactor = 50);

CREATE TABLE watched_feed (
  since timestamptz NOT NULL,
  last_received_at timestamptz, -- newest message of the live lane
  feed_id int4 PRIMARY KEY
) WITH (fillfactor = 50);

-- One open alert at most per feed and kind. feed_id is null where the platform itself is meant.
CREATE TABLE alert (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  since timestamptz NOT NULL, -- what it is about began
  opened_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  acknowledged_at timestamptz,
  escalated_at timestamptz,
  closed_at timestamptz,
  feed_id int4,
  kind text NOT NULL,
  environment text NOT NULL,
  acknowledged_by text,
  note text,
  facts jsonb NOT NULL -- numbers only
);
CREATE UNIQUE INDEX alert_open ON alert (coalesce(feed_id, 0), kind, environment) WHERE closed_at IS NULL;
CREATE INDEX alert_feed ON alert (feed_id, kind);

-- What has to be told to whom; a row is an order to deliver until delivered_at or given_up_at is set.
CREATE TABLE alert_notice (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  alert_id int8 NOT NULL,
  created_at timestamptz NOT NULL,
  next_attempt_at timestamptz NOT NULL,
  delivered_at timestamptz,
  given_up_at timestamptz,
  attempts int4 NOT NULL DEFAULT 0,
  channel text NOT NULL,
  event text NOT NULL CHECK (event IN ('opened', 'repeated', 'escalated', 'recovered')),
  failure text
);
CREATE INDEX alert_notice_due ON alert_notice (channel, next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX alert_notice_alert ON alert_notice (alert_id);
