-- The current modules of functions that were written after $1, oldest first, and
-- the time of the question, to be asked from next.
-- $1 timestamptz
SELECT clock_timestamp(), d.wasm_hash, d.revision
FROM (SELECT) AS always
LEFT JOIN LATERAL (
  SELECT v.wasm_hash, m.xmin::text AS revision
  FROM runnel.functions f
  JOIN runnel.function_versions v ON v.function_id = f.id AND v.version = f.version
  JOIN runnel.modules m ON m.wasm_hash = v.wasm_hash
  WHERE f.updated_at > $1 AND f.enabled
  ORDER BY f.updated_at, f.id
  LIMIT 100
) d ON true
