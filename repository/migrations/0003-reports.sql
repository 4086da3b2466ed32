-- Reports and their results. The natural key stands on report once; observations hang on its surrogate and inherit its
-- month, which is given on first insert and never changed (decision 10). Fixed-width columns come first, widest first.

CREATE SEQUENCE report_number INCREMENT BY 1000;

CREATE TABLE report (
  id int8 PRIMARY KEY,
  owner int8 NOT NULL, -- receipt of the event whose header stands
  patient_id int8 NOT NULL,
  recorded_at timestamptz NOT NULL,
  message_time timestamptz NOT NULL,
  content_hash int8 NOT NULL,
  derivation int8 NOT NULL,
  -- Lowest version any event of this report and patient had: decides who keeps a key that two patients claim.
  first_recorded_at timestamptz NOT NULL,
  first_message_time timestamptz NOT NULL,
  -- Stamp of the newest final message that stated the whole report; null for delta feeds.
  snapshot_recorded_at timestamptz,
  snapshot_message_time timestamptz,
  month date NOT NULL,
  hospital_id int4 NOT NULL,
  source_system_id int4 NOT NULL,
  finality int2 NOT NULL,
  status_rank int2 NOT NULL,
  allow_move bool NOT NULL,
  standing text NOT NULL CHECK (standing IN ('current', 'conflict', 'moved')),
  kind text NOT NULL, -- lab, microbiology, pathology or imaging
  report_no text NOT NULL,
  scope text NOT NULL,
  status text,
  placer_order_number text,
  visit_number text,
  patient_class text,
  department text,
  ordering_institution text,
  collecting_institution text,
  performing_institution text,
  reporting_institution text,
  ordering_physician text,
  reporter text,
  verifier text,
  flags text[],
  panels jsonb -- by panel key, each the newest statement of it
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX report_key ON report (hospital_id, source_system_id, report_no, scope) WHERE standing = 'current';
CREATE UNIQUE INDEX report_key_rival ON report (hospital_id, source_system_id, report_no, scope, patient_id)
  WHERE standing <> 'current';
CREATE INDEX report_patient ON report (patient_id);
CREATE INDEX report_no ON report (report_no);

-- The parts of an imaging report; written with the header. detail holds everything verbatim, texts included.
CREATE TABLE imaging_report (
  report_id int8 PRIMARY KEY,
  examined_at timestamptz,
  unified_item_id int4,
  modality_code text,
  accession_number text,
  study_instance_uid text,
  detail jsonb NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX imaging_report_accession ON imaging_report (left(accession_number, 200)) WHERE accession_number IS NOT NULL;
CREATE INDEX imaging_report_study ON imaging_report (left(study_instance_uid, 200)) WHERE study_instance_uid IS NOT NULL;

-- Documents inside the message that owns the header: place and digest; the bytes stay in the archived message.
CREATE TABLE report_document (
  report_id int8 NOT NULL,
  size int8 NOT NULL,
  ordinal int2 NOT NULL,
  repetition int2 NOT NULL,
  sha256 bytea NOT NULL,
  segment text NOT NULL,
  field text NOT NULL,
  media_type text,
  encoding text,
  title text,
  flags text[],
  PRIMARY KEY (report_id, ordinal)
);

-- Header versions that do not stand: displaced or late. One row a source version.
CREATE TABLE report_history (
  report_id int8 NOT NULL,
  owner int8 NOT NULL,
  recorded_at timestamptz NOT NULL,
  message_time timestamptz NOT NULL,
  content_hash int8 NOT NULL,
  derivation int8 NOT NULL,
  finality int2 NOT NULL,
  status_rank int2 NOT NULL,
  status text,
  placer_order_number text,
  visit_number text,
  patient_class text,
  department text,
  ordering_institution text,
  collecting_institution text,
  performing_institution text,
  reporting_institution text,
  ordering_physician text,
  reporter text,
  verifier text,
  flags text[],
  detail jsonb,
  PRIMARY KEY (report_id, finality, recorded_at, message_time, status_rank, content_hash)
);

CREATE TABLE observation (
  report_id int8 NOT NULL,
  owner int8 NOT NULL, -- receipt of the event whose value stands
  recorded_at timestamptz NOT NULL,
  message_time timestamptz NOT NULL,
  content_hash int8 NOT NULL,
  derivation int8 NOT NULL,
  -- Newest final message of a snapshot feed that included this item; null for delta feeds.
  seen_recorded_at timestamptz,
  seen_message_time timestamptz,
  month date NOT NULL,
  panel_id int4 NOT NULL,
  local_code_id int4 NOT NULL,
  result_form_id int4 NOT NULL,
  unified_item_id int4,
  occurrence int2 NOT NULL,
  finality int2 NOT NULL,
  status_rank int2 NOT NULL,
  sub_id text NOT NULL,
  status text,
  value text,
  number numeric,
  abnormal_flags text,
  abnormal text,
  comparator text,
  qualitative text,
  number_high numeric,
  value_raw text,
  value_code text,
  flags text[],
  extra jsonb, -- OBX-5.3, 14, 17, 18, 15/23, NTE and the embedded document, where present
  PRIMARY KEY (report_id, panel_id, local_code_id, sub_id, occurrence, month)
) PARTITION BY RANGE (month);
CREATE TABLE observation_default PARTITION OF observation DEFAULT;

-- Observation versions that do not stand: displaced or late. One row a source version.
CREATE TABLE observation_history (
  report_id int8 NOT NULL,
  owner int8 NOT NULL,
  recorded_at timestamptz NOT NULL,
  message_time timestamptz NOT NULL,
  content_hash int8 NOT NULL,
  derivation int8 NOT NULL,
  month date NOT NULL,
  panel_id int4 NOT NULL,
  local_code_id int4 NOT NULL,
  result_form_id int4 NOT NULL,
  unified_item_id int4,
  occurrence int2 NOT NULL,
  finality int2 NOT NULL,
  status_rank int2 NOT NULL,
  sub_id text NOT NULL,
  status text,
  value text,
  number numeric,
  abnormal_flags text,
  abnormal text,
  comparator text,
  qualitative text,
  number_high numeric,
  value_raw text,
  value_code text,
  flags text[],
  extra jsonb,
  PRIMARY KEY (report_id, panel_id, local_code_id, sub_id, occurrence,
    finality, recorded_at, message_time, status_rank, content_hash, month)
) PARTITION BY RANGE (month);
CREATE TABLE observation_history_default PARTITION OF observation_history DEFAULT;
