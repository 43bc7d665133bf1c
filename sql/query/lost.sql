-- Ends the running attempts of workers that have been silent for too long:
-- another attempt where one is left, else discarded. The trigger on river_job
-- writes their log rows and responses.
--
-- Nobody is judged before the server itself has been up for that long: after a
-- restart every worker has been silent.
-- $1 interval silence
WITH silent AS (
  SELECT j.id FROM runnel.river_job j
  WHERE j.state = 'running' AND j.queue = 'functions' AND j.kind = 'invoke'
    AND j.attempted_at < now() - $1::interval
    AND pg_postmaster_start_time() < now() - $1::interval
    AND NOT EXISTS (
      SELECT FROM runnel.workers w
      WHERE w.id = j.attempted_by[cardinality(j.attempted_by)] AND w.seen_at >= now() - $1::interval)
  FOR UPDATE SKIP LOCKED
)
UPDATE runnel.river_job j SET
  state        = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN 'cancelled'
                      WHEN j.attempt < j.max_attempts THEN 'retryable' ELSE 'discarded' END::runnel.river_job_state,
  finalized_at = CASE WHEN j.attempt >= j.max_attempts OR j.metadata ? 'cancel_attempted_at' THEN now() END,
  scheduled_at = CASE WHEN j.attempt >= j.max_attempts OR j.metadata ? 'cancel_attempted_at' THEN j.scheduled_at ELSE now() END,
  errors       = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error',
                   'WorkerLost: no heartbeat from ' || coalesce(j.attempted_by[cardinality(j.attempted_by)], 'its worker'), 'trace', ''))
FROM silent WHERE j.id = silent.id
RETURNING -- as metrics name them
  coalesce(j.args ->> 'function', ''), coalesce(j.tags[2], ''), CASE j.state WHEN 'cancelled' THEN 'cancelled' ELSE 'lost' END
