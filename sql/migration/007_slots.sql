-- Functions' own SQL: levels, slot logins, claims, and how deep functions may
-- set off each other.
--
-- Operator: creates the roles anon, authenticated and service_role where they do
-- not exist and the role of DATABASE_URL may create roles (CREATEROLE is enough;
-- service_role needs BYPASSRLS and so, before PostgreSQL 16, a superuser). They
-- cannot log in. What cannot be created is left out: then db_query answers
-- RlsUnavailable at that level, and everything else works. Creates auth.uid(),
-- auth.role() and auth.jwt() where they do not exist. Locks
-- runnel.invocation_events for a moment to add a column with a default.
--
-- Why logins: SET ROLE can be undone by SQL text (RESET ROLE, set_config). A login
-- cannot. Each connection that runs a function's SQL is a login of its own, a
-- slot, which is a member of one level and of nothing else, owns nothing, and may
-- be connected once at a time. Worker processes create slots as they need them
-- (runnel.create_slot) and set their passwords.

DO $$
DECLARE
  level text;
BEGIN
  FOREACH level IN ARRAY '{anon,authenticated,service_role}'::text[] LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = level);
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT%s', level, CASE level WHEN 'service_role' THEN ' BYPASSRLS' ELSE '' END);
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'role % cannot be created here: db_query will answer RlsUnavailable for it', level;
      WHEN duplicate_object OR unique_violation THEN
        NULL;  -- by another migration on this server, just now
    END;
  END LOOP;
END $$;

CREATE TABLE runnel.slots (
  slot  name PRIMARY KEY,       -- runnel_<oid of the database>_<level>_<number>
  level name NOT NULL CHECK (level IN ('anon', 'authenticated', 'service_role')),
  mark  text NOT NULL           -- which RUNNEL_SLOT_SECRET its password was made from
);

-- On whose behalf a slot's connection works now. Only the owner writes it, from
-- another connection, before the invocation's first statement. The key holds the
-- backend as well, so that nothing that comes after it can be taken for it.
-- Not logged: no connection survives a crash, so no row need.
CREATE UNLOGGED TABLE runnel.claims (
  slot   name NOT NULL,
  pid    int NOT NULL,
  claims jsonb NOT NULL,
  depth  int NOT NULL,
  PRIMARY KEY (slot, pid)
) WITH (fillfactor = 50);

-- Makes or repairs a slot. verifier is a SCRAM-SHA-256 verifier, so that no
-- password reaches the server or its log.
CREATE FUNCTION runnel.create_slot(slot name, level name, verifier text, mark text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF slot !~ ('^runnel_[0-9]+_' || level || '_[0-9]+$') OR verifier !~ '^SCRAM-SHA-256\$' THEN
    RAISE EXCEPTION 'not a slot' USING ERRCODE = '22023', HINT = 'Workers make slots by themselves.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('runnel.slots', 0));
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = slot) THEN
    EXECUTE format('CREATE ROLE %I NOINHERIT', slot);
  ELSE
    EXECUTE format('ALTER ROLE %I RESET ALL', slot);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', slot, current_database());
  END IF;
  EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT CONNECTION LIMIT 1 PASSWORD %L', slot, verifier);
  EXECUTE format('GRANT %I TO %I', level, slot);
  INSERT INTO runnel.slots AS s (slot, level, mark) VALUES (create_slot.slot, create_slot.level, create_slot.mark)
  ON CONFLICT ON CONSTRAINT slots_pkey DO UPDATE SET mark = excluded.mark;
END $$;

ALTER TABLE runnel.invocation_events ADD COLUMN depth int NOT NULL DEFAULT 0;
ALTER TYPE runnel.caller ADD ATTRIBUTE depth int;

-- The caller of this transaction, as an invocation of SQL or of a trigger
-- records it.
--
-- In a slot, that is: in a function's own SQL, it is the slot's level and the
-- claims that the owner wrote for it, whatever the settings say, because a
-- function's SQL can change those. The depth is one more than the function's.
--
-- Elsewhere: the role is the one of SET ROLE, else the login. anon, authenticated
-- and service_role are kept. Any other login is an application's or an operator's
-- own and stands above all three; handing a function the highest of them because
-- its caller is powerful would turn every trigger on every table into
-- service_role. So such a login becomes service_role only where the function may
-- bypass row level security anyway, and anon, the least, everywhere else.
-- Claims: request.jwt.claims, as PostgREST and Supabase set it, when it holds a
-- JSON object. Whoever can run SQL in the session can set it, so it is worth as
-- much as the session; it never widens the role.
CREATE OR REPLACE FUNCTION runnel.current_caller(can_bypass_rls boolean) RETURNS runnel.caller
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who runnel.caller;
  claims text := current_setting('request.jwt.claims', true);
BEGIN
  SELECT s.level, c.claims ->> 'sub', c.claims::json, coalesce(c.depth, 0) + 1
  INTO who.role, who.user_id, who.claims, who.depth
  FROM runnel.slots s LEFT JOIN runnel.claims c ON c.slot = s.slot AND c.pid = pg_backend_pid()
  WHERE s.slot = session_user;
  IF FOUND THEN
    RETURN who;
  END IF;

  who.depth := 0;
  who.role := current_setting('role');
  IF who.role = 'none' THEN
    who.role := session_user;
  END IF;
  IF who.role NOT IN ('anon', 'authenticated', 'service_role') THEN
    who.role := CASE WHEN can_bypass_rls THEN 'service_role' ELSE 'anon' END;
  END IF;
  IF claims <> '' THEN
    BEGIN
      IF json_typeof(claims::json) = 'object' THEN
        who.user_id := claims::json ->> 'sub';
        who.claims := claims::json;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      NULL;  -- not JSON: no claims
    END;
  END IF;
  RETURN who;
END $$;

-- As before, and: what a function's SQL sets off is one deeper than the function.
-- Deeper than 8 it is not run but logged as skipped, LoopLimit: most likely a
-- function is setting off itself.
CREATE OR REPLACE FUNCTION runnel.enqueue(
  f runnel.functions, trigger text, ids uuid[], events text[],
  run_at timestamptz DEFAULT now(), priority int DEFAULT 1, max_attempts int DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who runnel.caller := runnel.current_caller(f.can_bypass_rls);
BEGIN
  IF who.depth > 8 THEN
    -- The first id stands for all: a statement's rows would fill the log.
    INSERT INTO runnel.function_invocations
      (id, attempt, created_at, function_id, function_name, version, trigger, status, user_id, role, error_code, error_message, finished_at)
    VALUES (ids[1], 0, now(), f.id, f.name, f.version, enqueue.trigger, 'skipped', who.user_id, who.role, 'LoopLimit',
      format('function %s was set off by a function that was set off by a function, 8 times over, and was not run%s: make it not write what sets it off',
             f.name, CASE WHEN cardinality(ids) > 1 THEN format(' (%s events)', cardinality(ids)) ELSE '' END), clock_timestamp())
    ON CONFLICT DO NOTHING;
    RETURN;
  END IF;

  INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role, user_id, claims, depth)
  SELECT e.id, now(), f.id, f.name, enqueue.trigger, convert_to(e.event, 'UTF8'), who.role, who.user_id, who.claims, who.depth
  FROM unnest(ids, events) AS e(id, event);

  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  SELECT jsonb_build_object('id', e.id, 'function', f.name), now(), 'invoke',
         coalesce(enqueue.max_attempts, f.max_attempts, runnel.default_attempts(enqueue.trigger)),
         enqueue.priority, 'functions', greatest(run_at, now()),
         CASE WHEN run_at > now() THEN 'scheduled' ELSE 'available' END::runnel.river_job_state,
         ARRAY[f.name, enqueue.trigger]
  FROM unnest(ids) AS e(id);

  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- auth.jwt(), auth.uid(), auth.role(): for policies, under Supabase's names. In a
-- slot they answer what the owner wrote, and null before it has; elsewhere they
-- read request.jwt.claims, as PostgREST sets it. In a policy write
-- (SELECT auth.uid()): then it is called once for a query, not once for a row.
--
-- Everyone may call them: they tell the caller who the caller is.
DO $$
BEGIN
  IF to_regnamespace('auth') IS NULL THEN
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
  END IF;

  IF to_regprocedure('auth.jwt()') IS NULL THEN
    CREATE FUNCTION auth.jwt() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      found_claims jsonb;
    BEGIN
      SELECT c.claims INTO found_claims
      FROM runnel.slots s LEFT JOIN runnel.claims c ON c.slot = s.slot AND c.pid = pg_backend_pid()
      WHERE s.slot = session_user;
      IF FOUND THEN
        RETURN found_claims;
      END IF;
      RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    END $f$;
  END IF;

  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE sql STABLE AS $f$ SELECT (auth.jwt() ->> 'sub')::uuid $f$;
  END IF;

  IF to_regprocedure('auth.role()') IS NULL THEN
    CREATE FUNCTION auth.role() RETURNS text
    LANGUAGE sql STABLE AS $f$ SELECT auth.jwt() ->> 'role' $f$;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'the schema auth belongs to somebody else: its functions are left as they are';
END $$;
