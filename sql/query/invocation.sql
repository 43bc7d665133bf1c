-- The attempts of one invocation, in order.
-- $1 uuid
SELECT id, attempt, created_at, function_id, function_name, version, wasm_hash, trigger, status, job_id, user_id, role,
       duration_ms, queue_ms, memory_peak, fuel, error_code, error_message, environment, logs, result::text,
       request_id, traceparent, started_at, finished_at, coalesce(replay_of::text, '')
FROM runnel.function_invocations
WHERE id = $1
ORDER BY attempt
