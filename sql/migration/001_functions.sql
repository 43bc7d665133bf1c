-- Functions, their versions, modules, environment and secrets.
--
-- Operator: creates empty tables only; no lock on anything that exists.
-- Runs as the role of DATABASE_URL, which needs no more than CREATE on the
-- database. Nothing here is granted to anyone: grant what you need by hand.

-- A version 7 UUID: 48 bits of Unix milliseconds, then random bits. Setting two
-- bits of a version 4 UUID's version nibble (0100) makes it a 7 (0111).
-- No SET clause, so that the planner can inline it; every name is qualified.
-- Not one of routine/, because a column's default needs it.
CREATE FUNCTION runnel.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT pg_catalog.encode(
    pg_catalog.set_bit(pg_catalog.set_bit(
      pg_catalog.overlay(
        pg_catalog.uuid_send(pg_catalog.gen_random_uuid()),
        pg_catalog.substring(pg_catalog.int8send(
          pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::bigint), 3),
        1, 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

-- Modules are stored once per content. The CHECK is FUNC-I5: no row whose bytes
-- do not hash to its key can be written, by anyone, while the constraint stands.
CREATE TABLE runnel.modules (
  wasm_hash  text COLLATE "C" PRIMARY KEY,
  wasm_bytes bytea NOT NULL CHECK (octet_length(wasm_bytes) BETWEEN 1 AND 10485760),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT wasm_hash_matches_wasm_bytes CHECK (wasm_hash = encode(sha256(wasm_bytes), 'hex'))
);
-- Read whole and seldom; compressing on write would cost more than it saves.
ALTER TABLE runnel.modules ALTER COLUMN wasm_bytes SET STORAGE EXTERNAL;

CREATE TABLE runnel.functions (
  id              uuid PRIMARY KEY DEFAULT runnel.uuid_v7(),
  name            text COLLATE "C" NOT NULL UNIQUE
                  CHECK (name ~ '^[a-z][a-z0-9_-]{0,63}$' AND name <> 'invoke'),
  description     text NOT NULL DEFAULT '',
  version         int NOT NULL,                       -- the current one
  timeout         interval NOT NULL DEFAULT '10 s'
                  CHECK (timeout BETWEEN '1 ms' AND '300 s'),
  max_memory      bigint NOT NULL DEFAULT 134217728   -- bytes
                  CHECK (max_memory BETWEEN 1048576 AND 536870912),
  can_bypass_rls  boolean NOT NULL DEFAULT false,
  allowed_hosts   text[] NOT NULL DEFAULT '{}',
  max_attempts    int CHECK (max_attempts BETWEEN 1 AND 25),  -- null: by trigger
  max_concurrency int CHECK (max_concurrency >= 1),           -- null: unlimited
  verify_jwt      boolean NOT NULL DEFAULT true,
  enabled         boolean NOT NULL DEFAULT true,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),

  -- Flow control: how many attempts may run at once and start in a time, on all
  -- workers together, and in which order jobs are taken.
  concurrency_key text CHECK (octet_length(concurrency_key) BETWEEN 1 AND 256),  -- a field such as 'tenant.id'
  max_concurrency_per_key int CHECK (max_concurrency_per_key >= 1),
  rate_per_second double precision CHECK (rate_per_second > 0),                  -- null: unlimited
  rate_burst      int CHECK (rate_burst >= 1),
  priority        int CHECK (priority BETWEEN 1 AND 4),                          -- null: 1
  paused          boolean NOT NULL DEFAULT false,

  -- The pause between attempts.
  backoff_initial interval NOT NULL DEFAULT '1 s' CHECK (backoff_initial BETWEEN '100 ms' AND '1 day'),
  backoff_max     interval NOT NULL DEFAULT '5 min' CHECK (backoff_max BETWEEN '100 ms' AND '1 day'),

  -- Which successes leave a log row: 1 all, 0 none, between the two that part of
  -- them. All of them are counted.
  log_success     double precision NOT NULL DEFAULT 1 CHECK (log_success BETWEEN 0 AND 1),

  CONSTRAINT functions_key_limit CHECK ((concurrency_key IS NULL) = (max_concurrency_per_key IS NULL)),
  CONSTRAINT functions_rate CHECK ((rate_per_second IS NULL) = (rate_burst IS NULL))
);

-- Each deploy is an immutable row. A rollback moves functions.version.
CREATE TABLE runnel.function_versions (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  version     int NOT NULL CHECK (version >= 1),
  wasm_hash   text COLLATE "C" NOT NULL REFERENCES runnel.modules,
  -- javascript says what the module was made of; what runs is a reactor.
  kind        text NOT NULL CHECK (kind IN ('command', 'reactor', 'extism', 'javascript')),
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, version)
);
CREATE INDEX function_versions_wasm_hash ON runnel.function_versions (wasm_hash);

-- Deferred, because a function and its first version are born together.
ALTER TABLE runnel.functions ADD CONSTRAINT functions_current_version
  FOREIGN KEY (id, version) REFERENCES runnel.function_versions (function_id, version)
  DEFERRABLE INITIALLY DEFERRED;

-- Values are real here and nowhere else: job rows, events and logs carry none.
CREATE TABLE runnel.environment (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  key         text COLLATE "C" NOT NULL CHECK (key ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
  value       text NOT NULL,
  PRIMARY KEY (function_id, key)
);

-- Secrets are sealed by the processes with RUNNEL_SECRET_KEYS, which the database
-- never sees: a dump of this table is of no use without them, and neither are the
-- secrets when they are lost. Keep the keys apart from your backups.
CREATE TABLE runnel.secrets (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  key         text COLLATE "C" NOT NULL CHECK (key ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
  -- Format, key id, nonce, AES-256-GCM ciphertext and tag, bound to function_id and
  -- key: a row that was copied to another place does not decrypt.
  value       bytea NOT NULL CHECK (octet_length(value) BETWEEN 37 AND 131200),
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, key)
);

-- What limited functions have used of their rate. Its rows are also the locks of
-- runnel.fetch_jobs: a table of ours and not an advisory lock, which any login of
-- the server could take.
CREATE TABLE runnel.function_flow (
  function_id uuid PRIMARY KEY REFERENCES runnel.functions ON DELETE CASCADE,
  tokens      double precision,   -- null: full
  refilled_at timestamptz
) WITH (fillfactor = 50);
