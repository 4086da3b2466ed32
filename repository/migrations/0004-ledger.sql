-- What became of every message: the bytes, the receipts, the dead letters and the work they leave to people.

CREATE SEQUENCE receipt_number INCREMENT BY 1000;

-- id = months since 1970-01 of the receipt's month * 2^40 + a number: it names its partition.
CREATE TABLE receipt (
  id int8 NOT NULL,
  seq int8 NOT NULL,
  received_at timestamptz NOT NULL,
  derivation int8 NOT NULL,
  target_id int8, -- report, patient, encounter or medical_order
  feed_id int4 NOT NULL,
  epoch int4 NOT NULL,
  month date NOT NULL, -- of received_at, +08:00
  target_month date,
  event_index int4 NOT NULL,
  event_count int4 NOT NULL,
  rows int4 NOT NULL, -- rows this event owns now
  disposition text NOT NULL CHECK (disposition IN ('stored', 'superseded', 'dead-lettered', 'ignored')),
  reason text,
  stage text, -- that gave a dead letter or an ignore
  target text, -- table of target_id
  PRIMARY KEY (feed_id, epoch, seq, event_index, month)
) PARTITION BY RANGE (month) ;
CREATE INDEX receipt_target ON receipt (target_id);
CREATE TABLE receipt_default PARTITION OF receipt DEFAULT;

CREATE TABLE raw_message (
  seq int8 NOT NULL,
  received_at timestamptz NOT NULL,
  content_size int8 NOT NULL,
  feed_id int4 NOT NULL,
  epoch int4 NOT NULL,
  month date NOT NULL, -- of received_at, +08:00
  source_index int4 NOT NULL,
  message_id bytea NOT NULL,
  control_id text,
  connector text NOT NULL,
  lane text NOT NULL,
  source_name text,
  key_id text,
  compression text NOT NULL,
  content_ref text,
  content bytea,
  PRIMARY KEY (feed_id, epoch, seq, month)
) PARTITION BY RANGE (month);
CREATE INDEX raw_message_control ON raw_message (left(control_id, 200)) WHERE control_id IS NOT NULL;
CREATE INDEX raw_message_id ON raw_message (message_id);
CREATE TABLE raw_message_default PARTITION OF raw_message DEFAULT;

-- Everything up to seq has been accepted by the spool.
CREATE TABLE feed_watermark (
  seq int8 NOT NULL,
  stated_at timestamptz NOT NULL,
  feed_id int4 NOT NULL,
  epoch int4 NOT NULL,
  PRIMARY KEY (feed_id, epoch)
) WITH (fillfactor = 50);

-- Messages without a time of their own take that of the first receipt of the same bytes.
CREATE TABLE first_receipt (
  received_at timestamptz NOT NULL,
  feed_id int4 NOT NULL,
  message_id bytea NOT NULL,
  PRIMARY KEY (feed_id, message_id)
);

CREATE TABLE dead_letter (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  seq int8,
  received_at timestamptz,
  feed_id int4,
  epoch int4,
  event_index int4,
  state text NOT NULL CHECK (state IN ('open', 'redriven', 'resolved')),
  stage text NOT NULL,
  code text NOT NULL,
  detail text NOT NULL,
  segment text,
  field text,
  source_topic text,
  source_partition int4 NOT NULL,
  source_offset text NOT NULL,
  control_id text,
  message_id bytea,
  payload bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX dead_letter_event ON dead_letter (feed_id, epoch, seq, event_index) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX dead_letter_frame ON dead_letter (source_topic, source_partition, source_offset) WHERE seq IS NULL;
CREATE INDEX dead_letter_cause ON dead_letter (code, feed_id, state);

-- What people have to do: counted once an event, however often the event is delivered.
CREATE TABLE work_item (
  count int8 NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  hospital_id int4 NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  sample text NOT NULL, -- ledger position of one event: feed/epoch/seq
  PRIMARY KEY (kind, hospital_id, subject)
) WITH (fillfactor = 70);
