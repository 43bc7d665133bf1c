-- Schedules with a run that waits and none that runs, kept from other sweeps until
-- the transaction ends.
SELECT s.id FROM runnel.schedules s
WHERE s.id IN (SELECT t.schedule_id FROM runnel.schedule_ticks t WHERE t.waiting)
  AND NOT EXISTS (
    SELECT FROM (SELECT t.job_id FROM runnel.schedule_ticks t
                 WHERE t.schedule_id = s.id AND t.job_id IS NOT NULL ORDER BY t.scheduled_time DESC LIMIT 200) t
    JOIN runnel.river_job j ON j.id = t.job_id
    WHERE j.state IN ('available', 'retryable', 'running', 'scheduled'))
FOR UPDATE OF s SKIP LOCKED
