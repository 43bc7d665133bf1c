-- Schedules to look at now, kept from other sweeps until the transaction ends. A
-- disabled one is among them once, for what was due before.
-- $1 int limit
SELECT s.id, s.name, f.name, f.enabled, s.enabled, s.cron, s.timezone, s.catch_up, s.overlap, s.cursor, s.next_run, now(),
  -- Since when a worker has been there without a break: a heartbeat comes every 5 s.
  coalesce((SELECT min(w.started_at) FROM runnel.workers w WHERE w.seen_at > now() - interval '8 seconds'), now())
FROM runnel.schedules s
JOIN runnel.functions f ON f.id = s.function_id
WHERE s.next_run IS NULL OR s.next_run <= now()
ORDER BY s.next_run NULLS FIRST, s.id
LIMIT $1
FOR UPDATE OF s SKIP LOCKED
