-- What workers need to run the given invocations. A missing row: the event is
-- gone. A null function: it was deleted.
--
-- OFFSET 0 keeps the search for the event a search by key in one partition,
-- whatever the planner believes about the arrays' length.
-- $1 uuid[] ids  $2 timestamptz[] created_at of their River jobs
SELECT e.id, e.event, e.trigger, e.role, coalesce(e.user_id, ''), e.claims, coalesce(e.request_id, ''), coalesce(e.traceparent, ''), e.respond, e.depth, coalesce(e.replay_of::text, ''),
       m.xmin::text,
       (SELECT json_object_agg(s.key, encode(s.value, 'base64')) FROM runnel.secrets s WHERE s.function_id = f.id),
       f.id, coalesce(f.name, e.function_name), f.description, f.version, v.wasm_hash, f.timeout, f.max_memory,
       f.can_bypass_rls, f.allowed_hosts, coalesce(f.max_attempts, 0), f.backoff_initial, f.backoff_max,
       f.verify_jwt, f.enabled, f.created_at, f.updated_at,
       env.clear, env.sealed, runnel.flow(f), f.log_success
FROM unnest($1::uuid[], $2::timestamptz[]) AS wanted(id, created_at)
CROSS JOIN LATERAL (
  SELECT * FROM runnel.invocation_events e
  WHERE e.id = wanted.id AND e.created_at = wanted.created_at
  OFFSET 0
) e
LEFT JOIN runnel.functions f ON f.id = e.function_id
LEFT JOIN runnel.function_versions v ON v.function_id = f.id AND v.version = f.version
LEFT JOIN runnel.modules m ON m.wasm_hash = v.wasm_hash
CROSS JOIN LATERAL (
  SELECT json_object_agg(n.key, n.value) FILTER (WHERE n.value IS NOT NULL) AS clear,
         json_object_agg(n.key, encode(n.sealed, 'base64')) FILTER (WHERE n.sealed IS NOT NULL) AS sealed
  FROM runnel.environment n
  WHERE n.function_id = f.id AND NOT EXISTS (SELECT FROM runnel.secrets s WHERE s.function_id = n.function_id AND s.key = n.key)
) env
