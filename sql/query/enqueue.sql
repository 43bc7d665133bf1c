-- Enqueues invocations of any functions for any callers: an event row and a
-- River job each, one notification for all. Answers the places in the arrays of
-- those that were enqueued; of those that were not because their caller cannot
-- wait and there is no room now (runnel.room); and in how many seconds the latter
-- may ask again. The others' function does not exist or is disabled.
-- runnel.enqueue in routine/enqueue.sql is its twin for SQL.
-- $1 uuid[] ids  $2 text[] functions  $3 text[] triggers  $4 bytea[] events
-- $5 text[] roles  $6 text[] user ids  $7 text[] claims  $8 text[] request ids
-- $9 text[] traceparents  $10 int[] priorities (0: default)  $11 int[] attempts (0: default)
-- $12 boolean[] a waiter wants the raw result  $13 boolean[] now or not at all
WITH asked AS MATERIALIZED (
  SELECT i.*, f.id AS function_id, coalesce(nullif(i.attempts, 0), f.max_attempts, runnel.default_attempts(i.trigger)) AS max_attempts,
         coalesce(nullif(i.urgency, 0), f.priority, 1) AS priority,
         runnel.job_args(i.id, f.name, f.concurrency_key, i.event) AS args,
         i.now AND (f.paused OR f.max_concurrency IS NOT NULL OR f.concurrency_key IS NOT NULL OR f.rate_per_second IS NOT NULL) AS limited,
         f AS flow
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::int[], $11::int[], $12::boolean[], $13::boolean[])
       WITH ORDINALITY AS i(id, function, trigger, event, role, user_id, claims, request_id, traceparent, urgency, attempts, respond, now, place)
  JOIN runnel.functions f ON f.name = i.function AND f.enabled
), rooms AS MATERIALIZED (
  SELECT g.function, g.key, r.room, r.wait
  FROM (SELECT DISTINCT ON (function, args ->> 'key') function, args ->> 'key' AS key, flow FROM asked WHERE limited) g
  CROSS JOIN LATERAL runnel.room(g.flow, g.key) r
), wanted AS MATERIALIZED (
  SELECT a.*, NOT a.limited OR a.turn <= r.room AS enqueued, r.wait
  FROM (SELECT *, row_number() OVER (PARTITION BY function, args ->> 'key' ORDER BY place) AS turn FROM asked) a
  LEFT JOIN rooms r ON r.function = a.function AND r.key IS NOT DISTINCT FROM a.args ->> 'key'
), events AS (
  INSERT INTO runnel.invocation_events
    (id, created_at, function_id, function_name, trigger, event, role, user_id, claims, request_id, traceparent, respond)
  SELECT id, now(), function_id, function, trigger, event, role, nullif(user_id, ''), claims::json,
         nullif(request_id, ''), nullif(traceparent, ''), respond
  FROM wanted WHERE enqueued
), jobs AS (
  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  SELECT args, now(), 'invoke', max_attempts, priority, 'functions', now(), 'available', ARRAY[function, trigger]
  FROM wanted WHERE enqueued ORDER BY place
)
SELECT array_agg(place) FILTER (WHERE enqueued),
       array_agg(place ORDER BY place) FILTER (WHERE NOT enqueued),
       array_agg(wait ORDER BY place) FILTER (WHERE NOT enqueued),
       CASE WHEN bool_or(enqueued) THEN pg_notify('runnel.river_insert', '{"queue":"functions"}')::text END
FROM wanted
