-- What an operator has asked of a worker, and what it lost: whether its queue is
-- paused, and which of the attempts that run there are to be stopped, because their
-- cancellation was asked for or because somebody else has ended them (a sweep that
-- took this worker for dead); by their places in the arrays.
-- $1 bigint[] jobs that run there  $2 int[] their attempts
SELECT EXISTS (SELECT FROM runnel.river_queue WHERE name = 'functions' AND paused_at IS NOT NULL),
       coalesce(array_agg(r.place) FILTER (WHERE j.metadata ? 'cancel_attempted_at'), '{}'),
       coalesce(array_agg(r.place) FILTER (WHERE j.id IS NULL), '{}')
FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS r(job, attempt, place)
LEFT JOIN runnel.river_job j ON j.id = r.job AND j.attempt = r.attempt AND j.state = 'running'
