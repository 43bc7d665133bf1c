-- Schedules to look at now, kept from other sweeps until the transaction ends.
-- Busy: its newest job, or one of the hundred before, has not finished.
-- $1 int limit
SELECT s.id, s.name, f.name, f.enabled, s.cron, s.timezone, s.catch_up, s.overlap, s.cursor, s.next_run, now(),
       s.overlap = 'skip' AND EXISTS (
         SELECT FROM (SELECT t.job_id FROM runnel.schedule_ticks t
                      WHERE t.schedule_id = s.id ORDER BY t.scheduled_time DESC LIMIT 100) t
         JOIN runnel.river_job j ON j.id = t.job_id
         WHERE j.state NOT IN ('cancelled', 'completed', 'discarded'))
FROM runnel.schedules s
JOIN runnel.functions f ON f.id = s.function_id
WHERE s.enabled AND (s.next_run IS NULL OR s.next_run <= now())
ORDER BY s.next_run NULLS FIRST, s.id
LIMIT $1
FOR UPDATE OF s SKIP LOCKED
