-- Schedules by name.
-- $1 text function, $2 bigint id, $3 text name (null: any)
SELECT s.id, s.name, f.name, s.cron, s.timezone, s.payload::text, s.catch_up, s.overlap, s.enabled,
       CASE WHEN s.enabled AND isfinite(s.next_run) THEN s.next_run END,
       (SELECT count(*) FROM runnel.schedule_ticks t WHERE t.schedule_id = s.id AND t.waiting),
       coalesce(s.error, ''), s.created_at, s.updated_at
FROM runnel.schedules s
JOIN runnel.functions f ON f.id = s.function_id
WHERE ($1::text IS NULL OR f.name = $1)
  AND ($2::bigint IS NULL OR s.id = $2)
  AND ($3::text IS NULL OR s.name = $3)
ORDER BY s.name
