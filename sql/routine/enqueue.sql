-- Enqueueing from SQL, in the caller's transaction: runnel.invoke, and what database
-- triggers use. To let a role call it:
--   GRANT USAGE ON SCHEMA runnel TO app;
--   GRANT EXECUTE ON FUNCTION runnel.invoke TO app;
--
-- Functions in this folder that neither are SECURITY DEFINER nor pin search_path are
-- helpers: their callers pin it, and pinning it again for each of ten thousand rows
-- would cost more than their work.

-- The function of that name, or 42704.
CREATE OR REPLACE FUNCTION runnel.find_function(name text) RETURNS runnel.functions
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

-- How often an invocation is tried when its function does not say otherwise.
-- runnel.Trigger.MaxAttempts in Go says the same; a test compares them.
CREATE OR REPLACE FUNCTION runnel.default_attempts(trigger text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN trigger IN ('database', 'sql') THEN 3 ELSE 1 END
$$;

-- The key of an event: the field at a dotted path of its body, payload or row. A
-- hash of it, because job rows are shown to people and values may be personal.
-- Null where the event has no such field, or cannot be read.
CREATE OR REPLACE FUNCTION runnel.event_key(path text, event bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  e json;
  v text;
BEGIN
  e := convert_from(event, 'UTF8')::json;
  e := CASE e ->> 'trigger'
         WHEN 'http' THEN e -> 'body'
         WHEN 'database' THEN CASE WHEN json_typeof(e -> 'new') = 'object' THEN e -> 'new' ELSE e -> 'old' END
         ELSE e -> 'payload' END;
  v := e #>> string_to_array(path, '.');
  RETURN left(encode(sha256(convert_to(v, 'UTF8')), 'hex'), 16);
EXCEPTION WHEN OTHERS THEN  -- no UTF-8, or \u0000, which text cannot hold
  RETURN NULL;
END $$;

-- The River arguments of an invocation. Whatever makes jobs uses this.
CREATE OR REPLACE FUNCTION runnel.job_args(id uuid, function text, concurrency_key text, event bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN concurrency_key IS NULL THEN jsonb_build_object('id', id, 'function', function)
         ELSE jsonb_strip_nulls(jsonb_build_object('id', id, 'function', function, 'key', runnel.event_key(concurrency_key, event))) END
$$;

-- One event row and one River job for each event, under the caller of this
-- transaction, and one notification. Everything that SQL enqueues goes through
-- here; query/enqueue.sql is its twin for HTTP, where one statement serves many
-- functions and callers.
--
-- What a function's SQL sets off is one deeper than the function. Deeper than 8 it is
-- not run but logged as skipped, LoopLimit: most likely a function is setting off
-- itself.
--
-- The notification is River's own (a queue to look at, no authority). Postgres
-- delivers it at COMMIT and merges identical ones.
CREATE OR REPLACE FUNCTION runnel.enqueue(
  f runnel.functions, trigger text, ids uuid[], events text[],
  run_at timestamptz DEFAULT now(), priority int DEFAULT NULL, max_attempts int DEFAULT NULL
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
  SELECT runnel.job_args(e.id, f.name, f.concurrency_key, convert_to(e.event, 'UTF8')), now(), 'invoke',
         coalesce(enqueue.max_attempts, f.max_attempts, runnel.default_attempts(enqueue.trigger)),
         coalesce(enqueue.priority, f.priority, 1), 'functions', greatest(run_at, now()),
         CASE WHEN run_at > now() THEN 'scheduled' ELSE 'available' END::runnel.river_job_state,
         ARRAY[f.name, enqueue.trigger]
  FROM unnest(ids, events) AS e(id, event);

  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- Logs that an event was not delivered: one row for each statement and reason,
-- however many rows the statement changed.
CREATE OR REPLACE FUNCTION runnel.skip(f runnel.functions, trigger text, code text, message text) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO runnel.function_invocations
    (id, attempt, created_at, function_id, function_name, version, trigger, status, role, error_code, error_message, finished_at)
  VALUES (md5(concat_ws('/', (f).id, trigger, code, message, pg_current_xact_id(), statement_timestamp()))::uuid,
    0, now(), (f).id, (f).name, (f).version, trigger, 'skipped', (runnel.current_caller((f).can_bypass_rls)).role,
    code, message, clock_timestamp())
  ON CONFLICT DO NOTHING
$$;

-- Enqueues one invocation; it runs after COMMIT, or never after ROLLBACK.
-- Answers the invocation's id: its log rows in runnel.function_invocations have it.
--
-- With an idempotency key, the same key and function within 24 hours answer the
-- first invocation's id and enqueue nothing, unless that was lost or never ran. A
-- concurrent call with the same key waits until the first one's transaction ends.
CREATE OR REPLACE FUNCTION runnel.invoke(
  function        text,
  payload         jsonb DEFAULT 'null',
  run_at          timestamptz DEFAULT now(),
  idempotency_key text DEFAULT NULL,
  priority        int DEFAULT NULL,  -- the function's, else 1
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
  IF priority NOT BETWEEN 1 AND 4 THEN
    RAISE EXCEPTION 'priority must be 1 to 4, not %', priority
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
      WHERE k.created_at <= now() - interval '24 hours' OR runnel.key_is_free(k.id, k.created_at)
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
