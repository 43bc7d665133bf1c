-- What else the sweep has to know of the schedules it has locked. A statement of
-- its own: the one that locks has looked before it had the lock, when another
-- sweep may have been about to start a run.
--
-- Revisions: the one that the cursor is in, and those after it.
-- Running: one of its newest runs has begun to be available and has not finished;
-- a run that will be tried again has not. Waiting: how many wait for that.
-- $1 bigint[] schedules
SELECT s.id,
  (SELECT json_agg(json_build_object('from', r.valid_from, 'cron', r.cron, 'timezone', r.timezone, 'enabled', r.enabled) ORDER BY r.valid_from)
   FROM runnel.schedule_revisions r
   WHERE r.schedule_id = s.id
     AND r.valid_from >= coalesce((SELECT max(valid_from) FROM runnel.schedule_revisions WHERE schedule_id = s.id AND valid_from <= s.cursor), '-infinity')),
  s.overlap <> 'allow' AND EXISTS (
    SELECT FROM (SELECT t.job_id FROM runnel.schedule_ticks t
                 WHERE t.schedule_id = s.id AND t.job_id IS NOT NULL ORDER BY t.scheduled_time DESC LIMIT 200) t
    JOIN runnel.river_job j ON j.id = t.job_id
    WHERE j.state IN ('available', 'retryable', 'running', 'scheduled')),
  (SELECT count(*) FROM runnel.schedule_ticks t JOIN runnel.river_job j ON j.id = t.job_id
   WHERE t.schedule_id = s.id AND t.waiting AND j.state = 'pending')
FROM runnel.schedules s
WHERE s.id = ANY ($1::bigint[])
