-- Jobs by state, counted to a limit, so that asking costs the same however many
-- wait; how long the oldest due one has waited, in seconds; whether the queue is
-- paused; workers that were heard of within $2.
-- $1 int count to this much  $2 interval
SELECT s.state::text,
       (SELECT count(*) FROM (SELECT FROM runnel.river_job j WHERE j.state = s.state AND j.queue = 'functions' LIMIT $1::int) AS counted),
       coalesce((SELECT extract(epoch FROM clock_timestamp() - j.scheduled_at)::float8 FROM runnel.river_job j
                 WHERE s.state = 'available' AND j.state = 'available' AND j.queue = 'functions'
                 ORDER BY j.priority, j.scheduled_at LIMIT 1), 0),
       EXISTS (SELECT FROM runnel.river_queue WHERE name = 'functions' AND paused_at IS NOT NULL),
       (SELECT count(*) FROM runnel.workers w WHERE w.seen_at >= now() - $2::interval)
FROM unnest('{available,running,retryable,scheduled}'::runnel.river_job_state[]) AS s(state)
