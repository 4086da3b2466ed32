-- What edges report, what the province has released to them, and how it is rolled out. An edge is known here by what its
-- certificate says, whether or not it was enrolled.

-- The last report of each edge.
CREATE TABLE edge_report (
  reported_at timestamptz NOT NULL, -- the gateway's clock
  environment text NOT NULL,
  hospital text NOT NULL,
  edge text NOT NULL,
  report jsonb NOT NULL, -- core/fleet-report.ts
  PRIMARY KEY (environment, hospital, edge)
) WITH (fillfactor = 50);

CREATE TABLE fleet_release (
  number int8 PRIMARY KEY,
  bytes int8 NOT NULL,
  published_at timestamptz NOT NULL,
  kind text NOT NULL CHECK (kind IN ('package', 'configuration')),
  sha256 text NOT NULL,
  version text NOT NULL,
  environment text NOT NULL,
  hospital text, -- null: all
  edge text, -- null: all of the hospital
  published_by text NOT NULL,
  manifest text NOT NULL, -- as signed
  key_id text NOT NULL,
  signature text NOT NULL
);

CREATE TABLE rollout (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  release_number int8 NOT NULL UNIQUE REFERENCES fleet_release, -- what was halted is published anew
  started_at timestamptz NOT NULL,
  stage_since timestamptz NOT NULL,
  stage int4 NOT NULL,
  environment text NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'paused', 'halted', 'aborted', 'done')),
  plan jsonb NOT NULL -- services/fleet/plan.ts
);

-- Which edges get it, in which stage (0: canaries).
CREATE TABLE rollout_edge (
  rollout_id int8 NOT NULL REFERENCES rollout,
  offered_at timestamptz, -- first told to the edge
  settled_at timestamptz,
  stage int4 NOT NULL,
  hospital text NOT NULL,
  edge text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('pending', 'healthy', 'failed')),
  reason text,
  baseline jsonb, -- the edge's report before it was offered
  PRIMARY KEY (rollout_id, hospital, edge)
) WITH (fillfactor = 70);
CREATE INDEX rollout_edge_of ON rollout_edge (hospital, edge);

-- Who did what, and what the gateways decided.
CREATE TABLE rollout_event (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rollout_id int8 NOT NULL REFERENCES rollout,
  at timestamptz NOT NULL,
  by text NOT NULL, -- a person, or 'gateway'
  event text NOT NULL,
  detail text
);
CREATE INDEX rollout_event_of ON rollout_event (rollout_id, id);
