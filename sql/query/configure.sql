-- Sets what is not null; 0 attempts or concurrency mean the default. No row: no
-- such function.
-- $1 text name  $2 text description  $3 interval timeout  $4 bigint max_memory
-- $5 boolean can_bypass_rls  $6 text[] allowed_hosts  $7 int max_attempts
-- $8 int max_concurrency  $9 boolean verify_jwt  $10 boolean enabled
UPDATE runnel.functions SET
  description     = coalesce($2, description),
  timeout         = coalesce($3, timeout),
  max_memory      = coalesce($4, max_memory),
  can_bypass_rls  = coalesce($5, can_bypass_rls),
  allowed_hosts   = coalesce($6, allowed_hosts),
  max_attempts    = CASE WHEN $7::int IS NULL THEN max_attempts ELSE nullif($7, 0) END,
  max_concurrency = CASE WHEN $8::int IS NULL THEN max_concurrency ELSE nullif($8, 0) END,
  verify_jwt      = coalesce($9, verify_jwt),
  enabled         = coalesce($10, enabled),
  updated_at      = now()
WHERE name = $1
RETURNING id
