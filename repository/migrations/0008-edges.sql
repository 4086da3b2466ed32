-- Edges by hospital and name: tokens to enrol with, certificates issued, what was revoked, and who did it.

CREATE TABLE edge (
  created_at timestamptz NOT NULL,
  revoked_at timestamptz, -- certificates that begin before are refused, whoever issued them
  last_seen_at timestamptz,
  hospital text NOT NULL,
  name text NOT NULL,
  revoked_by text,
  revoked_reason text,
  PRIMARY KEY (hospital, name)
) WITH (fillfactor = 70);

-- Raised with every revocation: what a gateway asks for every few seconds.
CREATE TABLE edge_revision (
  revision int8 NOT NULL,
  only_row bool PRIMARY KEY DEFAULT true CHECK (only_row)
) WITH (fillfactor = 50);
INSERT INTO edge_revision (revision) VALUES (1);

-- The secret itself is kept nowhere. public_key: SHA-256 of the key that used the token.
CREATE TABLE edge_token (
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  id text PRIMARY KEY,
  secret_hash bytea NOT NULL,
  public_key bytea,
  hospital text NOT NULL,
  name text NOT NULL,
  created_by text NOT NULL
);
CREATE INDEX edge_token_edge ON edge_token (hospital, name);

CREATE TABLE edge_certificate (
  issued_at timestamptz NOT NULL,
  not_after timestamptz NOT NULL,
  first_seen_at timestamptz, -- on a connection to a gateway
  fingerprint text PRIMARY KEY, -- SHA-256 of the certificate, hex
  public_key bytea NOT NULL UNIQUE, -- SHA-256 of the key
  hospital text NOT NULL,
  name text NOT NULL,
  pem text NOT NULL -- with its chain
);
CREATE INDEX edge_certificate_edge ON edge_certificate (hospital, name, issued_at);

CREATE TABLE edge_audit (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  hospital text NOT NULL,
  name text NOT NULL,
  what text NOT NULL CHECK (what IN ('token', 'enrolled', 'renewed', 'revoked')),
  by text NOT NULL,
  detail text NOT NULL -- id of a token, fingerprint of a certificate, reason of a revocation
);
CREATE INDEX edge_audit_edge ON edge_audit (hospital, name, id);
