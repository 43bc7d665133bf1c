-- Replaces a function's environment.
-- $1 uuid function  $2 text[] keys  $3 text[] values in the clear  $4 bytea[] sealed
-- ones; of each key one of the two is null
WITH gone AS (
  DELETE FROM runnel.environment WHERE function_id = $1 AND key <> ALL ($2::text[])
)
INSERT INTO runnel.environment (function_id, key, value, sealed)
SELECT $1, e.key, e.value, e.sealed FROM unnest($2::text[], $3::text[], $4::bytea[]) AS e(key, value, sealed)
ON CONFLICT (function_id, key) DO UPDATE SET value = excluded.value, sealed = excluded.sealed
