-- Statistics of one function since a time. No row: nothing was counted.
-- $1 uuid  $2 text time
SELECT function_name, attempts, success, error, timeout, out_of_memory, cancelled, lost, skipped, error_rate,
       mean_ms, p50_ms, p95_ms, p99_ms, last_at
FROM runnel.stats($2::text::timestamptz, $1)
