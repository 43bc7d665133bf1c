-- runnel.invoke: enqueue from SQL, in the caller's transaction.
--
-- Operator: creates functions and one empty table. To let a role call it:
--   GRANT USAGE ON SCHEMA runnel TO app;
--   GRANT EXECUTE ON FUNCTION runnel.invoke TO app;
--
-- Functions here and in the files after this that neither are SECURITY DEFINER
-- nor pin search_path are helpers: their callers pin it, and pinning it again
-- for each of ten thousand rows would cost more than their work.

-- The first invocation under a key, for 24 hours.
CREATE TABLE runnel.idempotency_keys (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  key         text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  id          uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, key)
);
CREATE INDEX idempotency_keys_created_at ON runnel.idempotency_keys (created_at);

-- On whose behalf an invocation runs.
CREATE TYPE runnel.caller AS (role text, user_id text, claims json);

-- The caller of this transaction, as an invocation of SQL or of a trigger
-- records it.
--
-- Role: the one of SET ROLE, else the login. anon, authenticated and
-- service_role are kept. Any other login is an application's or an operator's
-- own and stands above all three; handing a function the highest of them because
-- its caller is powerful would turn every trigger on every table into
-- service_role. So such a login becomes service_role only where the function may
-- bypass row level security anyway, and anon, the least, everywhere else.
--
-- Claims: request.jwt.claims, as PostgREST and Supabase set it, when it holds a
-- JSON object. Whoever can run SQL in the session can set it, so it is worth as
-- much as the session; it never widens the role.
CREATE FUNCTION runnel.current_caller(can_bypass_rls boolean) RETURNS runnel.caller
LANGUAGE plpgsql STABLE AS $$
DECLARE
  who runnel.caller;
  claims text := current_setting('request.jwt.claims', true);
BEGIN
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

-- The function of that name, or 42704.
CREATE FUNCTION runnel.find_function(name text) RETURNS runnel.functions
LANGUAGE plpgsql STABLE AS $$
DECLARE
  f runnel.functions;
BEGIN
  SELECT * INTO f FROM runnel.functions AS found WHERE found.name = find_function.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'function % does not exist', coalesce(quote_ident(left(name, 80)), 'NULL')
      USING ERRCODE = '42704', HINT = 'Deploy it first. SELECT name FROM runnel.functions lists what there is.';
  END IF;
  RETURN f;
END $$;

-- One event row and one River job for each event, under the caller of this
-- transaction, and one notification. Everything that SQL enqueues goes through
-- here; query/enqueue.sql is its twin for HTTP, where one statement serves many
-- functions and callers.
--
-- The notification is River's own (a queue to look at, no authority). Postgres
-- delivers it at COMMIT and merges identical ones.
CREATE FUNCTION runnel.enqueue(
  f runnel.functions, trigger text, ids uuid[], events text[],
  run_at timestamptz DEFAULT now(), priority int DEFAULT 1, max_attempts int DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  who runnel.caller := runnel.current_caller(f.can_bypass_rls);
BEGIN
  WITH wanted AS (
    SELECT e.id, e.event FROM unnest(ids, events) AS e(id, event)
  ), kept AS (
    INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role, user_id, claims)
    SELECT w.id, now(), f.id, f.name, enqueue.trigger, convert_to(w.event, 'UTF8'), who.role, who.user_id, who.claims
    FROM wanted w
  )
  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  SELECT jsonb_build_object('id', w.id, 'function', f.name), now(), 'invoke',
         coalesce(enqueue.max_attempts, f.max_attempts, runnel.default_attempts(enqueue.trigger)),
         enqueue.priority, 'functions', greatest(run_at, now()),
         CASE WHEN run_at > now() THEN 'scheduled' ELSE 'available' END::runnel.river_job_state,
         ARRAY[f.name, enqueue.trigger]
  FROM wanted w;

  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- Enqueues one invocation; it runs after COMMIT, or never after ROLLBACK.
-- Answers the invocation's id: its log rows in runnel.function_invocations have it.
--
-- With an idempotency key, the same key and function within 24 hours answer the
-- first invocation's id and enqueue nothing. A concurrent call with the same key
-- waits until the first one's transaction ends.
CREATE FUNCTION runnel.invoke(
  function        text,
  payload         jsonb DEFAULT 'null',
  run_at          timestamptz DEFAULT now(),
  idempotency_key text DEFAULT NULL,
  priority        int DEFAULT 1,
  max_attempts    int DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  f runnel.functions := runnel.find_function(invoke.function);
  invocation uuid := runnel.uuid_v7();
  first uuid;
BEGIN
  IF NOT f.enabled THEN
    RAISE EXCEPTION 'function % is disabled', quote_ident(f.name)
      USING ERRCODE = '42704', HINT = 'Enable it before it is invoked.';
  END IF;
  IF priority IS NULL OR priority NOT BETWEEN 1 AND 4 THEN
    RAISE EXCEPTION 'priority must be 1 to 4, not %', coalesce(priority::text, 'NULL')
      USING ERRCODE = '22023', HINT = '1 runs first, 4 runs last.';
  END IF;
  IF max_attempts NOT BETWEEN 1 AND 25 THEN
    RAISE EXCEPTION 'max_attempts must be 1 to 25, not %', max_attempts
      USING ERRCODE = '22023', HINT = 'Leave it out for the function''s own setting.';
  END IF;
  IF run_at IS NULL OR run_at >= '9999-01-01' OR run_at = '-infinity' THEN
    RAISE EXCEPTION 'run_at must be a time, not %', coalesce(run_at::text, 'NULL')
      USING ERRCODE = '22023', HINT = 'Leave it out to run at once, or give a time such as now() + interval ''1 hour''.';
  END IF;
  IF octet_length(payload::text) > 6291456 THEN
    RAISE EXCEPTION 'payload is % bytes: at most 6 MB can be handed to a function', octet_length(payload::text)
      USING ERRCODE = '54000', HINT = 'Store it in a table and pass its key.';
  END IF;

  IF idempotency_key IS NOT NULL THEN
    IF octet_length(idempotency_key) NOT BETWEEN 1 AND 255 THEN
      RAISE EXCEPTION 'idempotency_key must be 1 to 255 bytes, not %', octet_length(idempotency_key)
        USING ERRCODE = '22023', HINT = 'Use a short name of the work, or a hash of it.';
    END IF;
    INSERT INTO runnel.idempotency_keys AS k (function_id, key, id)
    VALUES (f.id, idempotency_key, invocation)
    ON CONFLICT (function_id, key) DO UPDATE SET id = excluded.id, created_at = excluded.created_at
      WHERE k.created_at <= now() - interval '24 hours'
    RETURNING k.id INTO first;
    IF first IS NULL THEN
      SELECT k.id INTO STRICT first FROM runnel.idempotency_keys k
      WHERE k.function_id = f.id AND k.key = idempotency_key;
      RETURN first;
    END IF;
  END IF;

  PERFORM runnel.enqueue(f, 'sql', ARRAY[invocation],
    ARRAY['{"trigger":"sql","payload":' || coalesce(payload::text, 'null') || '}'],
    run_at, priority, max_attempts);
  RETURN invocation;
END $$;
