-- Events, the log, responses and workers.
--
-- Operator: creates empty tables and one trigger on runnel.river_job (CREATE
-- TRIGGER waits for running transactions on that table, milliseconds when
-- workers are stopped).
--
-- Three tables are partitioned by UTC day on created_at, which in all three is
-- the River job's created_at. The default partition takes whatever has no day of
-- its own, so a writer never fails because nobody made tomorrow's partition.

-- What a function is handed, byte for byte. A job carries only the id.
CREATE TABLE runnel.invocation_events (
  id            uuid NOT NULL,
  created_at    timestamptz NOT NULL,
  function_id   uuid NOT NULL,     -- no foreign key: the event outlives the function
  function_name text NOT NULL,
  trigger       text NOT NULL CHECK (trigger IN ('http', 'database', 'schedule', 'sql')),
  event         bytea NOT NULL,    -- UTF-8 JSON; jsonb would normalise it
  role          text NOT NULL CHECK (role IN ('anon', 'authenticated', 'service_role')),
  user_id       text,
  claims        json,              -- json, not jsonb, for the same reason
  request_id    text,
  traceparent   text,
  respond       boolean NOT NULL DEFAULT false,  -- a waiter wants the raw result
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.invocation_events_default PARTITION OF runnel.invocation_events DEFAULT;

-- The log: one row per attempt, written in the transaction that settles the
-- attempt's job, or for an invocation that was skipped (attempt 0, no job).
CREATE TABLE runnel.function_invocations (
  id            uuid NOT NULL,
  attempt       int NOT NULL,
  created_at    timestamptz NOT NULL,
  function_id   uuid,
  function_name text NOT NULL,
  version       int,
  wasm_hash     text,
  trigger       text NOT NULL,
  status        text NOT NULL CHECK (status IN
                ('success', 'error', 'timeout', 'out_of_memory', 'cancelled', 'lost', 'skipped')),
  job_id        bigint,
  user_id       text,
  role          text NOT NULL,
  duration_ms   double precision NOT NULL DEFAULT 0,
  queue_ms      double precision NOT NULL DEFAULT 0,
  memory_peak   bigint NOT NULL DEFAULT 0,  -- bytes
  fuel          bigint NOT NULL DEFAULT 0,  -- metered instructions
  error_code    text,
  error_message text,
  environment   jsonb NOT NULL DEFAULT '{}',  -- redacted
  logs          jsonb NOT NULL DEFAULT '[]',  -- redacted; [{t, level, message}]
  result        jsonb,                        -- null when large, not kept or not storable as jsonb
  request_id    text,
  traceparent   text,
  started_at    timestamptz,
  finished_at   timestamptz NOT NULL,
  PRIMARY KEY (id, attempt, created_at)       -- FUNC-F3: settling twice finds the row there
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.function_invocations_default PARTITION OF runnel.function_invocations DEFAULT;
CREATE INDEX function_invocations_by_function
  ON runnel.function_invocations (function_id, created_at DESC, id DESC, attempt DESC);
CREATE INDEX function_invocations_failures
  ON runnel.function_invocations (function_id, created_at DESC, id DESC, attempt DESC)
  WHERE status <> 'success';

-- What a waiter is given. Raw results stay here for two days at most.
CREATE TABLE runnel.invocation_responses (
  id         uuid NOT NULL,
  created_at timestamptz NOT NULL,
  status     text NOT NULL,
  code       text,
  message    text,
  result     bytea,
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.invocation_responses_default PARTITION OF runnel.invocation_responses DEFAULT;

-- A worker that has not been seen for a while has died with its running jobs.
CREATE TABLE runnel.workers (
  id         text PRIMARY KEY,   -- River's client id
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The third net of FUNC-E1. Whatever ends a job without saying so in the log
-- (River's rescuer, a cancel in River UI, the sweep for dead workers) gets its
-- row here, in the same transaction. An attempt that has a row keeps it.
--
-- Not fired by: query/settle.sql, which says that it writes the row itself (a call
-- for each row was 20 to 44 % of a settlement's time); a job handed back (its
-- attempt number goes down, the attempt is not over); a job of another kind.
CREATE FUNCTION runnel.on_job_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  invocation uuid;
  cancelled boolean := NEW.state = 'cancelled';
  answer record;
BEGIN
  -- A job that nobody of ours wrote must still be River's to end.
  IF NEW.args ->> 'id' IS NULL OR NEW.args ->> 'id' !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    RETURN NULL;
  END IF;
  invocation := (NEW.args ->> 'id')::uuid;
  SELECT CASE WHEN cancelled THEN 'cancelled' ELSE 'lost' END AS status,
         CASE WHEN cancelled THEN 'Cancelled' ELSE 'WorkerLost' END AS code,
         CASE WHEN NOT cancelled THEN 'the worker was lost before it reported how this attempt ended: what it committed stays committed'
              WHEN OLD.state = 'running' THEN 'cancelled while it was running: what it committed stays committed'
              ELSE 'cancelled before it was run' END AS message
  INTO answer;
  INSERT INTO runnel.function_invocations
    (id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
     duration_ms, queue_ms, error_code, error_message, request_id, traceparent, started_at, finished_at)
  SELECT invocation, NEW.attempt, NEW.created_at, e.function_id, coalesce(e.function_name, NEW.args ->> 'function', ''),
         f.version, v.wasm_hash, coalesce(e.trigger, NEW.tags[2], ''), answer.status, NEW.id, e.user_id, coalesce(e.role, 'anon'),
         CASE WHEN OLD.state = 'running' THEN coalesce(1000 * date_part('epoch', clock_timestamp() - NEW.attempted_at), 0) ELSE 0 END,
         CASE WHEN OLD.state = 'running' THEN greatest(0, 1000 * date_part('epoch', NEW.attempted_at - OLD.scheduled_at)) ELSE 0 END,
         answer.code, answer.message, e.request_id, e.traceparent,
         CASE WHEN OLD.state = 'running' THEN NEW.attempted_at END, clock_timestamp()
  FROM (SELECT) AS one
  LEFT JOIN runnel.invocation_events e ON e.id = invocation AND e.created_at = NEW.created_at
  LEFT JOIN runnel.functions f ON f.id = e.function_id
  LEFT JOIN runnel.function_versions v ON v.function_id = f.id AND v.version = f.version
  ON CONFLICT DO NOTHING;

  IF NEW.state IN ('cancelled', 'completed', 'discarded') THEN
    INSERT INTO runnel.invocation_responses (id, created_at, status, code, message)
    SELECT e.id, e.created_at, answer.status, answer.code, answer.message
    FROM runnel.invocation_events e
    WHERE e.id = invocation AND e.created_at = NEW.created_at AND e.respond
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
      PERFORM pg_notify('runnel_done', invocation::text);
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER on_job_ended AFTER UPDATE OF state ON runnel.river_job
  FOR EACH ROW
  WHEN (NEW.kind = 'invoke' AND NEW.attempt = OLD.attempt
    AND current_setting('runnel.settling', true) IS DISTINCT FROM 'on' AND (
        (OLD.state = 'running' AND NEW.state <> 'running') OR
        (OLD.state IN ('available', 'pending', 'retryable', 'scheduled') AND NEW.state IN ('cancelled', 'discarded'))))
  EXECUTE FUNCTION runnel.on_job_ended();
