-- Sets one secret. No row: no such function, or all of its secrets together would
-- be over the limit. "created" tells a new key from a new value.
-- $1 uuid function  $2 text key  $3 bytea sealed value  $4 int limit in bytes
INSERT INTO runnel.secrets AS s (function_id, key, value)
SELECT f.id, $2, $3
FROM runnel.functions f
WHERE f.id = $1
  AND octet_length($3::bytea) + (
    SELECT coalesce(sum(octet_length(o.value)), 0) FROM runnel.secrets o WHERE o.function_id = f.id AND o.key <> $2
  ) <= $4
ON CONFLICT (function_id, key) DO UPDATE SET value = excluded.value, updated_at = now()
RETURNING s.key, s.created_at, s.updated_at, s.xmax = 0 AS created
