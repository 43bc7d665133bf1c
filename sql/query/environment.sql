-- Replaces a function's environment.
-- $1 uuid function  $2 text[] keys  $3 text[] values
WITH gone AS (
  DELETE FROM runnel.environment WHERE function_id = $1 AND key <> ALL ($2::text[])
)
INSERT INTO runnel.environment (function_id, key, value)
SELECT $1, e.key, e.value FROM unnest($2::text[], $3::text[]) AS e(key, value)
ON CONFLICT (function_id, key) DO UPDATE SET value = excluded.value
