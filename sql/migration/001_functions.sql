-- Functions, their versions, modules and environment.
--
-- Operator: creates empty tables only; no lock on anything that exists.
-- Runs as the role of DATABASE_URL, which needs no more than CREATE on the
-- database. Nothing here is granted to anyone: grant what you need by hand.

-- A version 7 UUID: 48 bits of Unix milliseconds, then random bits. Setting two
-- bits of a version 4 UUID's version nibble (0100) makes it a 7 (0111).
-- No SET clause, so that the planner can inline it; every name is qualified.
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
  updated_at      timestamptz NOT NULL DEFAULT now()
);

-- Each deploy is an immutable row. A rollback moves functions.version.
CREATE TABLE runnel.function_versions (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  version     int NOT NULL CHECK (version >= 1),
  wasm_hash   text COLLATE "C" NOT NULL REFERENCES runnel.modules,
  kind        text NOT NULL CHECK (kind IN ('command', 'reactor')),
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

-- How often an invocation is tried when its function does not say otherwise.
-- runnel.Trigger.MaxAttempts in Go says the same; a test compares them.
CREATE FUNCTION runnel.default_attempts(trigger text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN trigger IN ('database', 'sql') THEN 3 ELSE 1 END
$$;

-- Serialises whoever adds a version with whoever removes modules: otherwise a
-- deploy could find its module present and lose it before its version row is
-- visible. Held to the end of the transaction; deploys are rare and short.
CREATE FUNCTION runnel.lock_modules() RETURNS void
LANGUAGE sql AS $$
  SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('runnel.modules', 0))
$$;

-- A module that no version refers to any more is garbage.
CREATE FUNCTION runnel.remove_unused_modules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM runnel.lock_modules();
  DELETE FROM runnel.modules m
  WHERE m.wasm_hash IN (SELECT g.wasm_hash FROM gone g)
    AND NOT EXISTS (SELECT FROM runnel.function_versions v WHERE v.wasm_hash = m.wasm_hash);
  RETURN NULL;
END $$;

CREATE TRIGGER remove_unused_modules AFTER DELETE ON runnel.function_versions
  REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION runnel.remove_unused_modules();
