-- What does not add up, one line for each thing: kind (lost, duplicated,
-- unaccounted), what is wrong, and of whom. No line is the promise kept.
--
-- It compares four ledgers: what clients sent and know the fate of (faults.sent),
-- what was enqueued (runnel.invocation_events and schedule_ticks), what ran
-- (faults.ran, written by the functions themselves) and what was logged
-- (runnel.function_invocations) and counted, each against River's jobs.
--
-- $1 boolean  jobs may still wait or run (a backlog that is not worked off)
-- $2 boolean  functions have written what they ran
WITH event AS (
  SELECT e.id, e.trigger, e.function_name, e.created_at, faults.key(convert_from(e.event, 'UTF8')::jsonb) AS key
  FROM runnel.invocation_events e
), job AS (
  SELECT j.id AS job_id, (j.args ->> 'id')::uuid AS id, j.state::text, j.attempt,
         j.state IN ('completed', 'discarded', 'cancelled') AS final
  FROM runnel.river_job j WHERE j.kind = 'invoke'
), row AS (
  SELECT i.id, i.job_id, i.attempt, i.status, i.error_code, i.function_name,
         i.attempt = max(i.attempt) OVER (PARTITION BY i.id) AS last
  FROM runnel.function_invocations i
), ran AS (
  SELECT faults.key(r.event) AS key, count(*) AS n, min(r.at) AS first,
         min((r.event #>> '{payload,not_before}')::timestamptz) AS not_before
  FROM faults.ran r GROUP BY 1
), tick AS (
  SELECT t.*, s.cron, faults.tick(s.name, t.scheduled_time) AS key
  FROM runnel.schedule_ticks t JOIN runnel.schedules s ON s.id = t.schedule_id
)
SELECT kind, what, who FROM (
  SELECT 'lost' AS kind, 'committed by its client, never enqueued' AS what, s.key AS who
  FROM faults.sent s WHERE s.outcome = 'committed' AND NOT EXISTS (SELECT FROM event e WHERE e.key = s.key)
UNION ALL
  SELECT 'lost', 'enqueued without a job', e.id::text FROM event e WHERE NOT EXISTS (SELECT FROM job j WHERE j.id = e.id)
UNION ALL
  SELECT 'lost', 'a job without its event', j.job_id::text FROM job j WHERE NOT EXISTS (SELECT FROM event e WHERE e.id = j.id)
UNION ALL
  SELECT 'lost', 'never finished: ' || j.state, j.job_id::text FROM job j WHERE NOT j.final AND NOT $1
UNION ALL
  SELECT 'lost', 'finished without a row', j.job_id::text FROM job j WHERE j.final AND NOT EXISTS (SELECT FROM row r WHERE r.job_id = j.job_id)
UNION ALL
  SELECT 'lost', 'a tick ' || t.outcome || ' that was not enqueued', t.key FROM tick t
  WHERE t.outcome <> 'skipped' AND NOT EXISTS (SELECT FROM event e WHERE e.key = t.key)
UNION ALL
  SELECT 'lost', 'a match of the schedule without a tick', faults.tick(s.name, match) FROM runnel.schedules s
  CROSS JOIN LATERAL (SELECT min(t.scheduled_time) AS a, max(t.scheduled_time) AS z FROM runnel.schedule_ticks t WHERE t.schedule_id = s.id) AS span
  CROSS JOIN LATERAL generate_series(span.a, span.z, interval '1 s') AS match
  WHERE s.cron = '* * * * * *' AND NOT EXISTS (SELECT FROM runnel.schedule_ticks t WHERE t.schedule_id = s.id AND t.scheduled_time = match)
UNION ALL
  SELECT 'lost', 'logged as a success, never ran', r.id::text FROM row r JOIN event e ON e.id = r.id
  WHERE $2 AND r.status = 'success' AND r.function_name IN ('quick', 'slow') AND NOT EXISTS (SELECT FROM ran WHERE ran.key = e.key)

UNION ALL
  SELECT 'duplicated', 'enqueued ' || count(*) || ' times', key FROM event GROUP BY key HAVING count(*) > 1
UNION ALL
  SELECT 'duplicated', 'enqueued though its client did not commit it', s.key
  FROM faults.sent s WHERE s.outcome = 'refused' AND EXISTS (SELECT FROM event e WHERE e.key = s.key)
UNION ALL
  SELECT 'duplicated', 'attempt ' || attempt || ' has ' || count(*) || ' rows', id::text FROM row GROUP BY id, attempt HAVING count(*) > 1
UNION ALL
  SELECT 'duplicated', 'succeeded ' || count(*) || ' times', id::text FROM row WHERE status = 'success' GROUP BY id HAVING count(*) > 1
UNION ALL
  SELECT 'duplicated', 'ran ' || ran.n || ' times in ' || count(r) || ' attempts', ran.key
  FROM ran JOIN event e ON e.key = ran.key LEFT JOIN row r ON r.id = e.id AND r.attempt > 0 AND r.status <> 'skipped'
  GROUP BY ran.key, ran.n HAVING ran.n > count(r) AND NOT $1
UNION ALL
  SELECT 'duplicated', 'an attempt after the success', r.id::text FROM row r
  WHERE r.status = 'success' AND EXISTS (SELECT FROM row later WHERE later.id = r.id AND later.attempt > r.attempt)

UNION ALL
  SELECT 'unaccounted', count(r) || ' rows for ' || j.attempt || ' attempts', j.job_id::text
  FROM job j JOIN row r ON r.job_id = j.job_id WHERE j.final
  GROUP BY j.job_id, j.attempt HAVING count(r) <> greatest(j.attempt, 1)
UNION ALL
  SELECT 'unaccounted', 'the job is ' || j.state || ', its last row ' || r.status, j.job_id::text
  FROM job j JOIN row r ON r.job_id = j.job_id AND r.last
  WHERE j.final AND (j.state = 'completed') <> (r.status = 'success') OR j.state = 'cancelled' AND r.status NOT IN ('cancelled', 'skipped')
UNION ALL
  SELECT 'unaccounted', 'ran, never enqueued', ran.key FROM ran WHERE NOT EXISTS (SELECT FROM event e WHERE e.key = ran.key)
UNION ALL
  SELECT 'unaccounted', 'ran before its time', ran.key FROM ran WHERE ran.first < ran.not_before
UNION ALL
  SELECT 'unaccounted', 'the caller got 200, the log says ' || coalesce(r.status, 'nothing'), s.key
  FROM faults.sent s LEFT JOIN row r ON r.id = s.id AND r.last WHERE s.status = 200 AND r.status IS DISTINCT FROM 'success'
UNION ALL
  SELECT 'unaccounted', 'the caller got another answer than its own', s.key FROM faults.sent s WHERE s.status = 200 AND NOT s.own
UNION ALL
  SELECT 'unaccounted', 'the caller got ' || s.code || ', the log says ' || coalesce(r.error_code, r.status), s.key
  FROM faults.sent s JOIN row r ON r.id = s.id AND r.last
  WHERE s.status > 0 AND s.code NOT IN ('', 'WaitTimeout', 'Unavailable', 'Internal') AND r.error_code IS DISTINCT FROM s.code AND NOT $1
UNION ALL
  SELECT 'unaccounted', 'the caller heard of another invocation', s.key FROM faults.sent s JOIN event e ON e.key = s.key WHERE s.id <> e.id
UNION ALL
  SELECT 'unaccounted', 'the caller was told that it did not run', s.key FROM faults.sent s JOIN ran ON ran.key = s.key WHERE s.unrun
UNION ALL
  SELECT 'unaccounted', 'counted ' || coalesce(c.n, 0) || ' times in the statistics, logged ' || coalesce(l.n, 0) || ' times', function_name || ' ' || status
  FROM (SELECT function_name, status, sum(attempts) AS n
        FROM (SELECT * FROM runnel.invocation_counts UNION ALL SELECT * FROM runnel.invocation_counts_new) both_of_them GROUP BY 1, 2) c
  FULL JOIN (SELECT function_name, status, count(*) AS n FROM runnel.function_invocations GROUP BY 1, 2) l USING (function_name, status)
  WHERE c.n IS DISTINCT FROM l.n
) finding
ORDER BY kind, what, who
