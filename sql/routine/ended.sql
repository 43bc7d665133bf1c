-- The third net of FUNC-E1: no attempt ends without a row in the log.
--
-- Operator: the triggers on runnel.river_job are made anew when this file changes,
-- which waits for running transactions on that table.

-- Whatever ends a job without saying so in the log (River's rescuer, a cancel in
-- River UI, the sweep for dead workers) gets its row here, in the same transaction.
-- An attempt that has a row keeps it.
--
-- Not fired by: query/settle.sql, which says that it writes the row itself (a call
-- for each row was 20 to 44 % of a settlement's time); a job handed back (its
-- attempt number goes down, the attempt is not over); a job of another kind that is
-- not in our queue.
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
         code, message, e.request_id, split_part(e.traceparent, ',', 1), CASE WHEN ran THEN j.attempted_at END, clock_timestamp(), e.replay_of
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

CREATE OR REPLACE TRIGGER on_job_ended AFTER UPDATE OF state ON runnel.river_job
  FOR EACH ROW
  WHEN ((NEW.kind = 'invoke' OR NEW.queue = 'functions') AND NEW.attempt = OLD.attempt
    AND current_setting('runnel.settling', true) IS DISTINCT FROM 'on' AND (
        (OLD.state = 'running' AND NEW.state <> 'running') OR
        (OLD.state IN ('available', 'pending', 'retryable', 'scheduled') AND NEW.state IN ('cancelled', 'discarded'))))
  EXECUTE FUNCTION runnel.on_job_ended();

CREATE OR REPLACE TRIGGER on_job_deleted AFTER DELETE ON runnel.river_job
  FOR EACH ROW
  WHEN ((OLD.kind = 'invoke' OR OLD.queue = 'functions') AND OLD.state NOT IN ('cancelled', 'completed', 'discarded'))
  EXECUTE FUNCTION runnel.on_job_ended();
