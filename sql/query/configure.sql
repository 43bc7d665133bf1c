-- Sets what is not null; 0 attempts or concurrency mean the default. No row: no
-- such function.
-- $1 text name  $2 text description  $3 interval timeout  $4 bigint max_memory
-- $5 boolean can_bypass_rls  $6 text[] allowed_hosts  $7 int max_attempts
-- $8 int max_concurrency  $9 boolean verify_jwt  $10 boolean enabled
-- $11 text concurrency_key, "" for none  $12 int max_concurrency_per_key, 0 for 1
-- $13 float8 rate per second, 0 for none  $14 int burst  $15 int priority, 0 for none  $16 boolean paused
-- $17 interval backoff_initial  $18 interval backoff_max
-- $19 float8 log_success
--
-- Workers are told: what waited may run now.
WITH configured AS (
UPDATE runnel.functions f SET
  description     = coalesce($2, description),
  timeout         = coalesce($3, timeout),
  max_memory      = coalesce($4, max_memory),
  can_bypass_rls  = coalesce($5, can_bypass_rls),
  allowed_hosts   = coalesce($6, allowed_hosts),
  max_attempts    = CASE WHEN $7::int IS NULL THEN max_attempts ELSE nullif($7, 0) END,
  max_concurrency = CASE WHEN $8::int IS NULL THEN max_concurrency ELSE nullif($8, 0) END,
  verify_jwt      = coalesce($9, verify_jwt),
  enabled         = coalesce($10, enabled),
  concurrency_key = CASE WHEN $11::text IS NULL THEN concurrency_key ELSE nullif($11, '') END,
  max_concurrency_per_key = CASE WHEN coalesce($11, concurrency_key, '') <> '' THEN coalesce(nullif($12::int, 0), CASE WHEN $12 IS NULL THEN max_concurrency_per_key END, 1) ELSE nullif($12, 0) END,
  rate_per_second = CASE WHEN $13::float8 IS NULL THEN rate_per_second ELSE nullif($13, 0) END,
  rate_burst      = CASE WHEN $13::float8 IS NULL THEN rate_burst ELSE nullif($14::int, 0) END,
  priority        = CASE WHEN $15::int IS NULL THEN priority ELSE nullif($15, 0) END,
  paused          = coalesce($16, paused),
  backoff_initial = coalesce($17, backoff_initial),
  backoff_max     = coalesce($18, backoff_max),
  log_success     = coalesce($19, log_success),
  updated_at      = now()
WHERE name = $1
RETURNING id, max_concurrency IS NOT NULL OR concurrency_key IS NOT NULL OR rate_per_second IS NOT NULL AS limited
), flow AS (
  INSERT INTO runnel.function_flow (function_id) SELECT id FROM configured WHERE limited ON CONFLICT DO NOTHING
)
SELECT id, pg_notify('runnel.river_insert', '{"queue":"functions"}')::text FROM configured
