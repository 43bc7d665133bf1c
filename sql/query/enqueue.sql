-- Enqueues invocations of any functions for any callers: an event row and a
-- River job each, one notification for all. Answers the places in the arrays of
-- those whose function exists and is enabled; the others are not enqueued.
-- runnel.enqueue in 003_invoke.sql is its twin for SQL.
-- $1 uuid[] ids  $2 text[] functions  $3 text[] triggers  $4 bytea[] events
-- $5 text[] roles  $6 text[] user ids  $7 text[] claims  $8 text[] request ids
-- $9 text[] traceparents  $10 int[] priorities  $11 int[] attempts (0: default)
-- $12 boolean[] a waiter wants the raw result
WITH wanted AS (
  SELECT i.*, f.id AS function_id, coalesce(nullif(i.attempts, 0), f.max_attempts, runnel.default_attempts(i.trigger)) AS max_attempts
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::int[], $11::int[], $12::boolean[])
       WITH ORDINALITY AS i(id, function, trigger, event, role, user_id, claims, request_id, traceparent, priority, attempts, respond, place)
  JOIN runnel.functions f ON f.name = i.function AND f.enabled
), events AS (
  INSERT INTO runnel.invocation_events
    (id, created_at, function_id, function_name, trigger, event, role, user_id, claims, request_id, traceparent, respond)
  SELECT id, now(), function_id, function, trigger, event, role, nullif(user_id, ''), claims::json,
         nullif(request_id, ''), nullif(traceparent, ''), respond
  FROM wanted
), jobs AS (
  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  SELECT jsonb_build_object('id', id, 'function', function), now(), 'invoke', max_attempts, priority, 'functions', now(),
         'available', ARRAY[function, trigger]
  FROM wanted ORDER BY place
)
SELECT array_agg(place), pg_notify('runnel.river_insert', '{"queue":"functions"}')::text
FROM wanted
HAVING count(*) > 0
