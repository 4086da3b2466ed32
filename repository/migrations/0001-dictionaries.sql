-- Whatever repeats in facts is said once here and named by a small integer there. Rows are only ever added.

CREATE TABLE hospital (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code text NOT NULL UNIQUE
);

CREATE TABLE feed (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital_id int4 NOT NULL,
  name text NOT NULL,
  environment text NOT NULL,
  UNIQUE (name, hospital_id, environment)
);

CREATE TABLE source_system (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital_id int4 NOT NULL,
  code text NOT NULL,
  UNIQUE (hospital_id, code)
);

-- OBR-4 group within a report: the key as the event carries it.
CREATE TABLE panel (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital_id int4 NOT NULL,
  key text NOT NULL,
  UNIQUE (hospital_id, key)
);

-- OBX-3.1 with its coding system (OBX-3.3): what tells items of one source system apart.
CREATE TABLE local_code (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source_system_id int4 NOT NULL,
  system text NOT NULL,
  code text NOT NULL,
  UNIQUE (source_system_id, system, code)
);

CREATE TABLE unified_item (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  item_id text NOT NULL UNIQUE
);

-- The form in which a laboratory states an item: names, unit and reference range verbatim, and how the catalogue reads
-- them. Bounded by the laboratory's configuration, not by its results; digest is the first half of SHA-256 over all of it.
CREATE TABLE result_form (
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  local_code_id int4 NOT NULL,
  unified_item_id int4,
  digest uuid NOT NULL,
  text text,
  alt_code text,
  alt_text text,
  alt_system text,
  value_type text,
  unit text,
  range text,
  kind text,
  ucum text,
  range_low numeric,
  range_high numeric,
  range_text text,
  UNIQUE (local_code_id, digest)
);
