-- Ends attempts: the River job's state and errors, the log row, the waiter's
-- response and one notification, in one statement and so in one commit.
--
-- Fenced by (job, attempt, running): an attempt that was ended by someone else
-- meanwhile is left alone and its place is not in the answer. A job whose
-- cancellation was asked for is not retried (River's own rule).
--
-- The setting tells the trigger on river_job that these rows are logged here. It
-- is set before the update because the update waits for it, row by row, and it
-- ends with the transaction.
--
-- A success that its function does not want in the log is counted and leaves no row.
--
-- Where a function at a limit has jobs waiting, workers are told that one may start.
--
-- $1 bigint[] jobs  $2 int[] attempts  $3 text[] states  $4 float8[] seconds until a retry
-- $5 uuid[] ids  $6 uuid[] functions  $7 text[] function names  $8 int[] versions  $9 text[] hashes
-- $10 text[] triggers  $11 text[] statuses  $12 text[] user ids  $13 text[] roles
-- $14 float8[] duration_ms  $15 float8[] queue_ms  $16 bigint[] memory  $17 bigint[] fuel
-- $18 text[] error codes  $19 text[] error messages  $20 text[] environments  $21 text[] logs  $22 text[] results
-- $23 text[] request ids  $24 text[] traceparents  $25 timestamptz[] started  $26 timestamptz[] finished
-- $27 boolean[] a waiter wants the raw result  $28 bytea[] raw results  $29 uuid[] replays of  $30 boolean[] counted only
WITH attempts AS (
  SELECT * FROM (SELECT set_config('runnel.settling', 'on', true) AS settling) s, unnest(
    $1::bigint[], $2::int[], $3::text[], $4::float8[], $5::uuid[], $6::uuid[], $7::text[], $8::int[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::float8[], $15::float8[], $16::bigint[], $17::bigint[],
    $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::timestamptz[], $26::timestamptz[],
    $27::boolean[], $28::bytea[], $29::uuid[], $30::boolean[]) WITH ORDINALITY
  AS u(job_id, attempt, state, retry_in, id, function_id, function_name, version, wasm_hash,
    trigger, status, user_id, role, duration_ms, queue_ms, memory_peak, fuel,
    error_code, error_message, environment, logs, result, request_id, traceparent, started_at, finished_at,
    respond, response, replay_of, unlogged, place)
), ended AS (
  UPDATE runnel.river_job j SET
    state        = CASE WHEN a.state = 'retryable' AND j.metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE a.state END::runnel.river_job_state,
    finalized_at = CASE WHEN a.state <> 'retryable' OR j.metadata ? 'cancel_attempted_at' THEN now() END,
    scheduled_at = CASE WHEN a.state <> 'retryable' OR j.metadata ? 'cancel_attempted_at' THEN j.scheduled_at ELSE now() + make_interval(secs => a.retry_in) END,
    errors       = CASE WHEN a.error_code IS NULL THEN j.errors
                   ELSE array_append(j.errors, jsonb_build_object('at', now(), 'attempt', a.attempt, 'error', a.error_code || ': ' || left(a.error_message, 2000), 'trace', '')) END
  FROM attempts a
  WHERE j.id = a.job_id AND j.attempt = a.attempt AND j.state = 'running' AND a.settling = 'on'
  RETURNING a.place, j.created_at, j.state IN ('cancelled', 'completed', 'discarded') AS final
), logged AS (
  INSERT INTO runnel.function_invocations
    (id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
     duration_ms, queue_ms, memory_peak, fuel, error_code, error_message, environment, logs, result,
     request_id, traceparent, started_at, finished_at, replay_of)
  SELECT id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
     duration_ms, queue_ms, memory_peak, fuel, error_code, error_message, environment::jsonb, logs::jsonb, result::jsonb,
     request_id, traceparent, started_at, finished_at, replay_of
  FROM ended JOIN attempts USING (place) WHERE NOT unlogged
  ON CONFLICT DO NOTHING
), counted AS (
  INSERT INTO runnel.invocation_counts_new
  SELECT date_trunc('hour', finished_at, 'UTC'), coalesce(function_id, '00000000-0000-0000-0000-000000000000'), function_name, trigger, status,
         runnel.duration_bucket(duration_ms, started_at IS NOT NULL), count(*), sum(duration_ms), max(finished_at)
  FROM ended JOIN attempts USING (place) WHERE unlogged
  GROUP BY 1, 2, 3, 4, 5, 6
), answered AS (
  INSERT INTO runnel.invocation_responses (id, created_at, status, code, message, result)
  SELECT id, created_at, status, error_code, error_message, response
  FROM ended JOIN attempts USING (place)
  WHERE final AND respond
  ON CONFLICT DO NOTHING
  RETURNING id
), woken AS (
  -- 200 ids of 37 bytes: a notification holds less than 8000.
  SELECT pg_notify('runnel_done', string_agg(id::text, ','))::text AS sent
  FROM (SELECT id, (row_number() OVER () - 1) / 200 AS chunk FROM answered) ids
  GROUP BY chunk
), freed AS (
  SELECT pg_notify('runnel.river_insert', '{"queue":"functions"}')::text AS sent
  FROM (SELECT DISTINCT function_id FROM ended JOIN attempts USING (place)) d
  JOIN runnel.functions f ON f.id = d.function_id
  WHERE CASE WHEN f.max_concurrency IS NOT NULL OR f.concurrency_key IS NOT NULL THEN runnel.waits(f.name) END
  LIMIT 1
)
SELECT coalesce(array_agg(place), '{}'), (SELECT count(sent) FROM woken) + (SELECT count(sent) FROM freed) FROM ended
