-- Cancel, replay, dead letters, calls that are made once, and pauses between
-- attempts.
--
-- Operator: creates functions, a view and an empty table; adds columns to
-- runnel.functions (defaults that need no rewrite), to runnel.invocation_events and
-- to runnel.function_invocations (null); creates a trigger on runnel.river_job.
-- Each takes its lock for a moment.

ALTER TABLE runnel.functions
  ADD COLUMN backoff_initial interval NOT NULL DEFAULT '1 s' CHECK (backoff_initial BETWEEN '100 ms' AND '1 day'),
  ADD COLUMN backoff_max     interval NOT NULL DEFAULT '5 min' CHECK (backoff_max BETWEEN '100 ms' AND '1 day');

-- The invocation that this one runs again.
ALTER TABLE runnel.invocation_events ADD COLUMN replay_of uuid;
ALTER TABLE runnel.function_invocations ADD COLUMN replay_of uuid;

-- The third net of FUNC-E1, as in 002_invocations, and:
--
-- A job that is cancelled while it waits consumes the number of the attempt that
-- does not take place. So its row has a number of its own, whatever came before,
-- and what River UI retries later has the next.
--
-- A job that is deleted before it has ended leaves a row as well. TRUNCATE and
-- DROP TABLE do not: whoever does that to River's table has said enough.
--
-- A job in our queue that is no invocation (of another kind, or with arguments that
-- cannot be read, as somebody may write by hand) gets a row too, under an id made of
-- the job's. Workers do not take jobs of another kind, so those end by other hands.
CREATE OR REPLACE FUNCTION runnel.on_job_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
<<ended>>
DECLARE
  j runnel.river_job := coalesce(NEW, OLD);
  ran boolean := OLD.state = 'running';
  invocation uuid;
  number int := OLD.attempt;
  status text;
  code text;
  message text;
BEGIN
  IF NOT ran THEN
    number := number + 1;
    IF TG_OP = 'UPDATE' THEN
      UPDATE runnel.river_job SET attempt = number WHERE id = j.id;
    END IF;
  END IF;
  IF j.args ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND jsonb_typeof(j.args -> 'function') = 'string' THEN
    invocation := (j.args ->> 'id')::uuid;
  ELSE
    invocation := md5('runnel.river_job/' || j.id)::uuid;
  END IF;

  IF TG_OP = 'DELETE' THEN
    status := 'cancelled';
    code := 'Cancelled';
    message := CASE WHEN ran THEN 'its job was deleted while it was running: what it committed stays committed'
                    ELSE 'its job was deleted before it was run' END;
  ELSIF NEW.state = 'cancelled' OR NOT ran THEN
    status := 'cancelled';
    code := 'Cancelled';
    message := CASE WHEN ran THEN 'cancelled while it was running: what it committed stays committed'
                    ELSE 'cancelled before it was run' END;
  ELSIF j.kind <> 'invoke' OR jsonb_typeof(j.args -> 'function') IS DISTINCT FROM 'string' OR jsonb_typeof(j.args -> 'id') IS DISTINCT FROM 'string' THEN
    status := 'error';
    code := 'InvalidRequest';
    message := 'this job is no invocation, by its kind or its arguments: enqueue with runnel.invoke()';
  ELSE
    status := 'lost';
    code := 'WorkerLost';
    message := 'the worker was lost before it reported how this attempt ended: what it committed stays committed';
  END IF;

  INSERT INTO runnel.function_invocations
    (id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
     duration_ms, queue_ms, error_code, error_message, request_id, traceparent, started_at, finished_at, replay_of)
  SELECT invocation, number, j.created_at, e.function_id, coalesce(e.function_name, j.args ->> 'function', ''),
         f.version, v.wasm_hash, coalesce(e.trigger, j.tags[2], ''), status, j.id, e.user_id, coalesce(e.role, 'anon'),
         CASE WHEN ran THEN coalesce(1000 * date_part('epoch', clock_timestamp() - j.attempted_at), 0) ELSE 0 END,
         CASE WHEN ran THEN greatest(0, 1000 * date_part('epoch', j.attempted_at - OLD.scheduled_at)) ELSE 0 END,
         code, message, e.request_id, e.traceparent, CASE WHEN ran THEN j.attempted_at END, clock_timestamp(), e.replay_of
  FROM (SELECT) AS one
  LEFT JOIN runnel.invocation_events e ON e.id = invocation AND e.created_at = j.created_at
  LEFT JOIN runnel.functions f ON f.id = e.function_id
  LEFT JOIN runnel.function_versions v ON v.function_id = f.id AND v.version = f.version
  ON CONFLICT DO NOTHING;

  IF TG_OP = 'DELETE' OR NEW.state IN ('cancelled', 'completed', 'discarded') THEN
    INSERT INTO runnel.invocation_responses (id, created_at, status, code, message)
    SELECT e.id, e.created_at, ended.status, ended.code, ended.message
    FROM runnel.invocation_events e
    WHERE e.id = invocation AND e.created_at = j.created_at AND e.respond
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
      PERFORM pg_notify('runnel_done', invocation::text);
    END IF;
  END IF;
  RETURN NULL;
END $$;

DROP TRIGGER on_job_ended ON runnel.river_job;
CREATE TRIGGER on_job_ended AFTER UPDATE OF state ON runnel.river_job
  FOR EACH ROW
  WHEN ((NEW.kind = 'invoke' OR NEW.queue = 'functions') AND NEW.attempt = OLD.attempt
    AND current_setting('runnel.settling', true) IS DISTINCT FROM 'on' AND (
        (OLD.state = 'running' AND NEW.state <> 'running') OR
        (OLD.state IN ('available', 'pending', 'retryable', 'scheduled') AND NEW.state IN ('cancelled', 'discarded'))))
  EXECUTE FUNCTION runnel.on_job_ended();
CREATE TRIGGER on_job_deleted AFTER DELETE ON runnel.river_job
  FOR EACH ROW
  WHEN ((OLD.kind = 'invoke' OR OLD.queue = 'functions') AND OLD.state NOT IN ('cancelled', 'completed', 'discarded'))
  EXECUTE FUNCTION runnel.on_job_ended();

-- The River job of an invocation, by River's index on arguments: the planner does not
-- see that it is one row of many, and would read a table of some thousand rows.
CREATE FUNCTION runnel.find_job(invocation uuid) RETURNS SETOF runnel.river_job
LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT * FROM runnel.river_job j
  WHERE j.args @> jsonb_build_object('id', invocation) AND j.kind = 'invoke'
  ORDER BY j.id DESC LIMIT 1
$$;

-- Whether the caller of this transaction may cancel or replay what this event
-- belongs to: service_role and logins of the operator's own, everything; a signed-in
-- user, what ran on the user's own behalf; anon, nothing, because it is nobody in
-- particular. In a function's SQL the caller is the function's, which no SQL text
-- can change.
CREATE FUNCTION runnel.may_steer(e runnel.invocation_events) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who runnel.caller := runnel.current_caller(true);
BEGIN
  RETURN who.role = 'service_role' OR who.role = 'authenticated' AND e.role = 'authenticated' AND e.user_id = who.user_id;
END $$;

-- The event of an invocation that the caller may cancel or replay. Somebody else's
-- is answered like one that there never was.
CREATE FUNCTION runnel.find_event(invocation uuid) RETURNS runnel.invocation_events
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  e runnel.invocation_events;
  operator boolean := (runnel.current_caller(true)).role = 'service_role';
BEGIN
  SELECT * INTO e FROM runnel.invocation_events AS found WHERE found.id = invocation;
  IF FOUND AND coalesce(runnel.may_steer(e), false) THEN
    RETURN e;
  END IF;
  IF operator AND EXISTS (SELECT FROM runnel.function_invocations l WHERE l.id = invocation) THEN
    RAISE EXCEPTION 'the event of invocation % is gone', invocation
      USING ERRCODE = '55000', HINT = 'Events are kept as long as the log (RUNNEL_LOG_RETENTION), skipped ones have none. Invoke the function with a payload of your own.';
  END IF;
  RAISE EXCEPTION 'there is no invocation %', coalesce(invocation::text, 'NULL')
    USING ERRCODE = 'P0002', HINT = 'Use the id that runnel.invoke() answered, or one of runnel.function_invocations.';
END $$;

-- Cancels an invocation. Answers what happened:
--   cancelled  it had not begun, or was between two attempts, and does not run any
--              more; its log row is there when the transaction commits
--   stopping   it is running: its worker stops it, and then logs how it ended. One
--              that ends by itself meanwhile has ended
--   finished   it had ended before; nothing was changed
-- The workers are told when the transaction commits. As River's own cancel, it
-- marks the job, so no further attempt begins in any case.
CREATE FUNCTION runnel.cancel(invocation uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  e runnel.invocation_events := runnel.find_event(invocation);
  j runnel.river_job;
BEGIN
  SELECT * INTO j FROM runnel.river_job q WHERE q.id = (SELECT found.id FROM runnel.find_job(e.id) found) FOR UPDATE;
  IF NOT FOUND OR j.state IN ('cancelled', 'completed', 'discarded') THEN
    RAISE NOTICE 'invocation % has ended%', invocation, coalesce(' (' || j.state || ')', '')
      USING HINT = 'There is nothing to cancel. What it committed stays committed.';
    RETURN 'finished';
  END IF;
  UPDATE runnel.river_job q SET
    state        = CASE WHEN q.state = 'running' THEN q.state ELSE 'cancelled' END,
    finalized_at = CASE WHEN q.state = 'running' THEN q.finalized_at ELSE now() END,
    metadata     = jsonb_set(q.metadata, '{cancel_attempted_at}', to_jsonb(now()))
  WHERE q.id = j.id;
  IF j.state <> 'running' THEN
    RETURN 'cancelled';
  END IF;
  -- A hint to look at the table, no more: see notify.go.
  PERFORM pg_notify('runnel.river_control', json_build_object('action', 'cancel', 'job_id', j.id, 'queue', j.queue)::text);
  RETURN 'stopping';
END $$;

-- Runs an invocation's event again, as a new invocation that names the old one: the
-- same event, on behalf of the same caller (role, user and claims as they were),
-- with as many attempts as a new one has. Answers the new invocation's id.
--
-- It is the function's current version that runs, and nobody waits for the result.
CREATE FUNCTION runnel.replay(invocation uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  e runnel.invocation_events := runnel.find_event(invocation);
  f runnel.functions := runnel.find_function(e.function_name);
  again uuid := runnel.uuid_v7();
BEGIN
  IF NOT f.enabled THEN
    RAISE EXCEPTION 'function % is disabled', quote_ident(f.name)
      USING ERRCODE = '42704', HINT = 'Enable it before its invocations are replayed.';
  END IF;
  INSERT INTO runnel.invocation_events
    (id, created_at, function_id, function_name, trigger, event, role, user_id, claims, request_id, traceparent, depth, replay_of)
  VALUES (again, now(), f.id, f.name, e.trigger, e.event, e.role, e.user_id, e.claims, e.request_id, e.traceparent, e.depth, e.id);
  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  VALUES (runnel.job_args(again, f.name, f.concurrency_key, e.event), now(), 'invoke', coalesce(f.max_attempts, runnel.default_attempts(e.trigger)),
          coalesce(f.priority, 1), 'functions', now(), 'available', ARRAY[f.name, e.trigger]);
  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
  RETURN again;
END $$;

-- Dead letters: jobs that River has discarded, because every attempt failed or the
-- failure was one that does not heal. Kept for as long as the log is. An invocation
-- leaves the list when it is redriven or purged; its log rows stay.
CREATE VIEW runnel.dead_letters AS
SELECT (j.args ->> 'id')::uuid AS id, j.id AS job_id, j.args ->> 'function' AS function_name, j.tags[2] AS trigger,
       l.status, l.error_code, l.error_message, j.attempt AS attempts, l.role, l.user_id, j.created_at, j.finalized_at AS failed_at
FROM runnel.river_job j
LEFT JOIN LATERAL (
  SELECT * FROM runnel.function_invocations i
  WHERE i.id = (j.args ->> 'id')::uuid AND i.created_at = j.created_at AND i.attempt = j.attempt
) l ON true
WHERE j.state = 'discarded' AND j.kind = 'invoke'
  AND j.args ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

-- Runs dead letters again: the same invocations, with their next attempts, as many
-- as a new one has. Oldest first; answers their ids. One that another session works
-- on now, or whose event is gone, stays in the list.
-- A null filter is none. since and before are about when it failed.
CREATE FUNCTION runnel.redrive(
  id       uuid DEFAULT NULL,
  function text DEFAULT NULL,
  code     text DEFAULT NULL,
  since    timestamptz DEFAULT NULL,
  before   timestamptz DEFAULT NULL,
  most     int DEFAULT 1000
) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  letter record;
BEGIN
  FOR letter IN
    SELECT d.id, j.id AS job_id, e.created_at, j.attempt + coalesce(f.max_attempts, runnel.default_attempts(e.trigger)) AS attempts
    FROM runnel.dead_letters d
    JOIN runnel.river_job j ON j.id = d.job_id
    JOIN runnel.invocation_events e ON e.id = d.id AND e.created_at = d.created_at
    LEFT JOIN runnel.functions f ON f.id = e.function_id
    WHERE j.state = 'discarded'
      AND (redrive.id IS NULL OR j.id = (SELECT q.id FROM runnel.find_job(redrive.id) q))
      AND (redrive.function IS NULL OR d.function_name = redrive.function)
      AND (redrive.code IS NULL OR d.error_code = redrive.code)
      AND (redrive.since IS NULL OR j.finalized_at >= redrive.since)
      AND (redrive.before IS NULL OR j.finalized_at < redrive.before)
    ORDER BY j.finalized_at, j.id
    LIMIT most
    FOR UPDATE OF j SKIP LOCKED
  LOOP
    -- What a waiter was told, and a repeated call with the same key, is void.
    DELETE FROM runnel.invocation_responses r WHERE r.id = letter.id AND r.created_at = letter.created_at;
    UPDATE runnel.river_job j SET
      state = 'available', finalized_at = NULL, scheduled_at = now(),
      max_attempts = least(letter.attempts, 32767), metadata = j.metadata - 'cancel_attempted_at'
    WHERE j.id = letter.job_id;
    RETURN NEXT letter.id;
  END LOOP;
  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- Removes dead letters from the list; their log rows stay. Filters as above; answers
-- how many there were.
CREATE FUNCTION runnel.purge(
  id       uuid DEFAULT NULL,
  function text DEFAULT NULL,
  code     text DEFAULT NULL,
  since    timestamptz DEFAULT NULL,
  before   timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  purged bigint;
BEGIN
  DELETE FROM runnel.river_job j USING runnel.dead_letters d
  WHERE j.id = d.job_id AND j.state = 'discarded'
    AND (purge.id IS NULL OR j.id = (SELECT q.id FROM runnel.find_job(purge.id) q))
    AND (purge.function IS NULL OR d.function_name = purge.function)
    AND (purge.code IS NULL OR d.error_code = purge.code)
    AND (purge.since IS NULL OR j.finalized_at >= purge.since)
    AND (purge.before IS NULL OR j.finalized_at < purge.before);
  GET DIAGNOSTICS purged = ROW_COUNT;
  RETURN purged;
END $$;

-- Calls over HTTP with an Idempotency-Key: the first invocation under a key, for 24
-- hours. The scope is a hash of who calls, so that nobody is ever given another
-- caller's response; the request is a hash of what was asked, so that a key that is
-- used for something else is noticed. created_at is the invocation's as well.
CREATE TABLE runnel.idempotent_calls (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  scope       bytea NOT NULL,
  key         text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  request     bytea NOT NULL,
  id          uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, scope, key)
);
CREATE INDEX idempotent_calls_created_at ON runnel.idempotent_calls (created_at);

-- Whether the first invocation under a key has ended in a way that says nothing
-- about the call: it was lost, or never ran. Then the key is free again. An error of
-- the function's own is its answer, and stays the answer.
CREATE FUNCTION runnel.key_is_free(invocation uuid, made timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT (l.error_code IN ('WorkerLost', 'Unavailable', 'Internal', 'HashMismatch', 'FunctionNotFound')
            OR l.error_code = 'Cancelled' AND l.started_at IS NULL)
       AND NOT EXISTS (SELECT FROM runnel.river_job j WHERE j.id = l.job_id AND j.state NOT IN ('cancelled', 'completed', 'discarded'))
    FROM runnel.function_invocations l
    WHERE l.id = invocation AND l.created_at = made
    ORDER BY l.attempt DESC LIMIT 1), false)
$$;

-- Takes a key for an invocation that is about to be enqueued, or answers whose it is.
-- Of concurrent calls one is first, and the others wait for its transaction to end.
CREATE FUNCTION runnel.take_key(function_id uuid, scope bytea, key text, request bytea, invocation uuid)
RETURNS TABLE (id uuid, asked bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  INSERT INTO runnel.idempotent_calls AS c (function_id, scope, key, request, id)
  VALUES (take_key.function_id, take_key.scope, take_key.key, take_key.request, take_key.invocation)
  ON CONFLICT ON CONSTRAINT idempotent_calls_pkey DO UPDATE SET id = excluded.id, request = excluded.request, created_at = excluded.created_at
    WHERE c.created_at <= now() - interval '24 hours' OR runnel.key_is_free(c.id, c.created_at)
  RETURNING c.id, c.request;
  IF NOT FOUND THEN
    RETURN QUERY SELECT c.id, c.request FROM runnel.idempotent_calls c
    WHERE c.function_id = take_key.function_id AND c.scope = take_key.scope AND c.key = take_key.key;
  END IF;
END $$;

-- Keys are forgotten a day after their first call.
CREATE FUNCTION runnel.forget_keys() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM runnel.idempotency_keys WHERE created_at <= now() - interval '24 hours';
  DELETE FROM runnel.idempotent_calls WHERE created_at <= now() - interval '24 hours';
$$;

-- As in 010_flow, and a key is free again when its first invocation was lost or
-- never ran.
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

-- As in 010_flow, and as 007_slots has it: what a function's SQL sets off is one deeper
-- than the function, and deeper than 8 it is not run but logged as skipped, LoopLimit.
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

-- As in 006_partitions, and a day of events is kept as well while a dead letter
-- needs it. Keys are forgotten by forget_keys.
CREATE OR REPLACE FUNCTION runnel.drop_partitions(before timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  dropped int := 0;
  p record;
BEGIN
  IF before IS NULL OR before > now() THEN
    RAISE EXCEPTION 'runnel.drop_partitions: before must be in the past' USING ERRCODE = '22023';
  END IF;
  FOR p IN
    SELECT parent.relname AS parent, child.relname AS name, d.day::timestamptz AS low, (d.day + 1)::timestamptz AS high
    FROM pg_inherits i
    JOIN pg_class child ON child.oid = i.inhrelid
    JOIN pg_class parent ON parent.oid = i.inhparent
    CROSS JOIN LATERAL (SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day) d
    WHERE parent.relnamespace = 'runnel'::regnamespace
      AND parent.relname IN ('invocation_events', 'function_invocations', 'invocation_responses')
      AND child.relname ~ '_[0-9]{8}$'
    ORDER BY child.relname
  LOOP
    CONTINUE WHEN p.high > CASE p.parent WHEN 'invocation_responses' THEN greatest(before, now() - interval '2 days') ELSE before END;
    CONTINUE WHEN p.parent = 'invocation_events' AND EXISTS (
      SELECT FROM runnel.river_job j
      WHERE j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
        AND j.kind = 'invoke' AND j.created_at >= p.low AND j.created_at < p.high);
    BEGIN
      EXECUTE format('DROP TABLE runnel.%I', p.name);
      dropped := dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      NULL;
    END;
  END LOOP;
  DELETE FROM runnel.invocation_events_default e WHERE e.created_at < before AND NOT EXISTS (
    SELECT FROM runnel.river_job j
    WHERE j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
      AND j.kind = 'invoke' AND j.created_at = e.created_at);
  DELETE FROM runnel.function_invocations_default WHERE created_at < before;
  DELETE FROM runnel.invocation_responses_default WHERE created_at < greatest(before, now() - interval '2 days');
  DELETE FROM runnel.schedule_ticks WHERE scheduled_time < before;
  DELETE FROM runnel.workers WHERE seen_at < now() - interval '1 day';
  RETURN dropped;
END $$;
