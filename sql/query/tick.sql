-- Records ticks and enqueues those that are not skipped. A tick that is there
-- already, or whose job is, enqueues nothing. A run that has to wait is in state
-- pending, in which River leaves it alone. Answers how many jobs were made.
-- $1 bigint[] schedules  $2 timestamptz[] times  $3 text[] outcomes  $4 text[] reasons
-- $5 boolean[] waits for the run before
WITH wanted AS MATERIALIZED (
  SELECT t.schedule_id, t.scheduled_time, t.outcome, t.reason, t.waiting,
         CASE WHEN t.outcome <> 'skipped' THEN runnel.uuid_v7() END AS id,
         CASE WHEN t.outcome <> 'skipped' THEN nextval('runnel.river_job_id_seq') END AS job_id,
         to_char(t.scheduled_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS scheduled
  FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::boolean[]) AS t(schedule_id, scheduled_time, outcome, reason, waiting)
), recorded AS (
  INSERT INTO runnel.schedule_ticks (schedule_id, scheduled_time, outcome, reason, invocation_id, job_id, waiting)
  SELECT schedule_id, scheduled_time, outcome, nullif(reason, ''), id, job_id, waiting FROM wanted
  ON CONFLICT DO NOTHING
  RETURNING schedule_id, scheduled_time, job_id
), jobs AS (
  INSERT INTO runnel.river_job (id, args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags, unique_key, unique_states)
  SELECT w.job_id, runnel.job_args(w.id, f.name, f.concurrency_key, convert_to(text '{"payload":' || s.payload || '}', 'UTF8')), now(), 'invoke',
         coalesce(f.max_attempts, runnel.default_attempts('schedule')), coalesce(f.priority, 1), 'functions', now(),
         CASE WHEN w.waiting THEN 'pending' ELSE 'available' END::runnel.river_job_state, ARRAY[f.name, 'schedule'],
         sha256(convert_to('cron:' || w.schedule_id || ':' || w.scheduled, 'UTF8')), B'11111111'
  FROM wanted w
  JOIN recorded USING (schedule_id, scheduled_time, job_id)
  JOIN runnel.schedules s ON s.id = w.schedule_id
  JOIN runnel.functions f ON f.id = s.function_id
  ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL
    AND runnel.river_job_state_in_bitmask(unique_states, state) DO NOTHING
  RETURNING id AS job_id
), events AS (
  INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role, request_id)
  SELECT w.id, now(), f.id, f.name, 'schedule',
         convert_to('{"trigger":"schedule","schedule":' || to_json(s.name) || ',"cron":' || to_json(s.cron)
           || ',"timezone":' || to_json(s.timezone) || ',"scheduled_time":"' || w.scheduled
           || '","actual_time":"' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
           || '","payload":' || s.payload || '}', 'UTF8'),
         CASE WHEN f.can_bypass_rls THEN 'service_role' ELSE 'anon' END,
         'schedule:' || s.id || ':' || w.scheduled
  FROM wanted w
  JOIN jobs USING (job_id)
  JOIN runnel.schedules s ON s.id = w.schedule_id
  JOIN runnel.functions f ON f.id = s.function_id
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('runnel.river_insert', '{"queue":"functions"}')::text END FROM jobs
