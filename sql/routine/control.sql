-- Cancel and replay.

-- The River job of an invocation, by River's index on arguments: the planner does not
-- see that it is one row of many, and would read the table, or its newest rows until
-- one fits.
CREATE OR REPLACE FUNCTION runnel.find_job(invocation uuid) RETURNS SETOF runnel.river_job
LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT * FROM (
    SELECT * FROM runnel.river_job WHERE args @> jsonb_build_object('id', invocation) AND kind = 'invoke' OFFSET 0
  ) j
  ORDER BY j.id DESC LIMIT 1
$$;

-- Whether the caller of this transaction may cancel or replay what this event
-- belongs to: service_role and logins of the operator's own, everything; a signed-in
-- user, what ran on the user's own behalf; anon, nothing, because it is nobody in
-- particular. In a function's SQL the caller is the function's, which no SQL text
-- can change.
CREATE OR REPLACE FUNCTION runnel.may_steer(e runnel.invocation_events) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who runnel.caller := runnel.current_caller(true);
BEGIN
  RETURN who.role = 'service_role' OR who.role = 'authenticated' AND e.role = 'authenticated' AND e.user_id = who.user_id;
END $$;

-- The event of an invocation that the caller may cancel or replay. Somebody else's
-- is answered like one that there never was.
CREATE OR REPLACE FUNCTION runnel.find_event(invocation uuid) RETURNS runnel.invocation_events
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
CREATE OR REPLACE FUNCTION runnel.cancel(invocation uuid) RETURNS text
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
CREATE OR REPLACE FUNCTION runnel.replay(invocation uuid) RETURNS uuid
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
