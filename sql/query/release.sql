-- Starts the oldest run that waits, of each of the schedules this sweep has locked
-- where none is under way; looks again because it can see more than before the
-- lock. One that was cancelled while it waited waits no longer.
-- $1 bigint[] schedules
WITH heads AS (
  SELECT DISTINCT ON (t.schedule_id) t.schedule_id, t.scheduled_time, t.job_id
  FROM runnel.schedule_ticks t
  JOIN runnel.river_job j ON j.id = t.job_id AND j.state = 'pending'
  WHERE t.waiting AND t.schedule_id = ANY ($1::bigint[]) AND NOT EXISTS (
    SELECT FROM (SELECT u.job_id FROM runnel.schedule_ticks u
                 WHERE u.schedule_id = t.schedule_id AND u.job_id IS NOT NULL ORDER BY u.scheduled_time DESC LIMIT 200) u
    JOIN runnel.river_job r ON r.id = u.job_id
    WHERE r.state IN ('available', 'retryable', 'running', 'scheduled'))
  ORDER BY t.schedule_id, t.scheduled_time
), started AS (
  UPDATE runnel.river_job j SET state = 'available', scheduled_at = now()
  FROM heads h WHERE j.id = h.job_id AND j.state = 'pending'
  RETURNING j.id
), told AS (
  UPDATE runnel.schedule_ticks t SET waiting = false
  WHERE t.waiting AND t.schedule_id = ANY ($1::bigint[]) AND (
    t.job_id IN (SELECT id FROM started)
    OR NOT EXISTS (SELECT FROM runnel.river_job j WHERE j.id = t.job_id AND j.state = 'pending'))
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('runnel.river_insert', '{"queue":"functions"}')::text END FROM started
