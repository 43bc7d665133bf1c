-- Functions with their current version and environment, by name. A secret hides
-- an environment entry with its key.
--
-- Two searches, of which one is not made, and OFFSET 0: with an OR or a plain join,
-- whoever wants one function would read all of them, or all versions.
-- $1 text  one function's name, or null for all
SELECT f.id, f.name, f.description, f.version, v.wasm_hash, f.timeout, f.max_memory,
       f.can_bypass_rls, f.allowed_hosts, coalesce(f.max_attempts, 0), f.backoff_initial, f.backoff_max,
       f.verify_jwt, f.enabled, f.created_at, f.updated_at,
       env.clear, env.sealed, runnel.flow(f), f.log_success
FROM (
  SELECT * FROM runnel.functions WHERE name = $1::text
  UNION ALL
  SELECT * FROM runnel.functions WHERE $1::text IS NULL
) f
CROSS JOIN LATERAL (
  SELECT v.wasm_hash FROM runnel.function_versions v WHERE v.function_id = f.id AND v.version = f.version OFFSET 0
) v
CROSS JOIN LATERAL (
  SELECT json_object_agg(e.key, e.value) FILTER (WHERE e.value IS NOT NULL) AS clear,
         json_object_agg(e.key, encode(e.sealed, 'base64')) FILTER (WHERE e.sealed IS NOT NULL) AS sealed
  FROM runnel.environment e
  WHERE e.function_id = f.id AND NOT EXISTS (SELECT FROM runnel.secrets s WHERE s.function_id = e.function_id AND s.key = e.key)
) env
ORDER BY f.name
