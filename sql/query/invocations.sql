-- Log rows, newest first.
-- $1 uuid function  $2 text status  $3 timestamptz since  (null: any)
-- $4, $5, $6 created_at, id, attempt of the last row of the page before, or null
-- $7 int rows
SELECT id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
       duration_ms, queue_ms, memory_peak, fuel, error_code, error_message, environment, logs, result::text,
       request_id, traceparent, started_at, finished_at, coalesce(replay_of::text, '')
FROM runnel.function_invocations
WHERE ($1::uuid IS NULL OR function_id = $1)
  AND ($2::text IS NULL OR status = $2)
  AND ($3::timestamptz IS NULL OR created_at >= $3)
  AND ($4::timestamptz IS NULL OR (created_at, id, attempt) < ($4, $5::uuid, $6::int))
ORDER BY created_at DESC, id DESC, attempt DESC
LIMIT $7
