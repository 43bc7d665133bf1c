-- Makes available what has become due: retries, and what was enqueued for later.
-- River does so too, but every five seconds. Answers how many there were and the
-- seconds until the next is due, or null.
--
-- State by state and priority by priority, each is a search in River's index for
-- fetching, however much waits there for later. What was found is an array, because
-- the planner expects eight times the limit, and would join by reading the table.
-- $1 int limit of each
WITH lanes AS (
  SELECT s.state, p.priority
  FROM (VALUES ('retryable'::runnel.river_job_state), ('scheduled')) AS s(state), (VALUES (1), (2), (3), (4)) AS p(priority)
), due AS (
  SELECT d.id FROM lanes CROSS JOIN LATERAL (
    SELECT j.id FROM runnel.river_job j
    WHERE j.state = lanes.state AND j.queue = 'functions' AND j.priority = lanes.priority AND j.scheduled_at <= now()
    ORDER BY j.scheduled_at LIMIT $1
    FOR UPDATE SKIP LOCKED
  ) d
), moved AS (
  UPDATE runnel.river_job j SET state = 'available' WHERE j.id = ANY (ARRAY(SELECT due.id FROM due))
  RETURNING j.id
), told AS (
  SELECT CASE WHEN count(*) > 0 THEN pg_notify('runnel.river_insert', '{"queue":"functions"}')::text END AS sent, count(*) AS n FROM moved
)
SELECT told.sent, told.n, (
  SELECT extract(epoch FROM min(next.scheduled_at) - clock_timestamp())::float8
  FROM lanes CROSS JOIN LATERAL (
    SELECT j.scheduled_at FROM runnel.river_job j
    WHERE j.state = lanes.state AND j.queue = 'functions' AND j.priority = lanes.priority AND j.scheduled_at > now()
    ORDER BY j.scheduled_at LIMIT 1
  ) AS next
)
FROM told
