-- Makes available what has become due: retries, and what was enqueued for later.
-- River does so too, but every five seconds. Answers how many there were and the
-- seconds until the next is due, or null.
--
-- The list of priorities makes this a search in River's index for fetching, whatever
-- waits there for later.
-- $1 int limit
WITH due AS (
  SELECT id FROM runnel.river_job
  WHERE state IN ('retryable', 'scheduled') AND queue = 'functions' AND priority IN (1, 2, 3, 4) AND scheduled_at <= now()
  LIMIT $1
  FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE runnel.river_job j SET state = 'available' FROM due WHERE j.id = due.id
  RETURNING j.id
), told AS (
  SELECT CASE WHEN count(*) > 0 THEN pg_notify('runnel.river_insert', '{"queue":"functions"}')::text END AS sent, count(*) AS n FROM moved
)
SELECT told.sent, told.n, (
  SELECT extract(epoch FROM min(next.scheduled_at) - clock_timestamp())::float8
  FROM unnest('{1,2,3,4}'::int[]) AS p(priority)
  CROSS JOIN (VALUES ('retryable'::runnel.river_job_state), ('scheduled')) AS s(state)
  CROSS JOIN LATERAL (
    SELECT j.scheduled_at FROM runnel.river_job j
    WHERE j.state = s.state AND j.queue = 'functions' AND j.priority = p.priority AND j.scheduled_at > now()
    ORDER BY j.scheduled_at LIMIT 1
  ) AS next
)
FROM told
