-- Gives a running job back as if this attempt had never begun. One whose
-- cancellation was asked for is cancelled instead.
-- $1 bigint job  $2 int attempt
WITH given AS (
  UPDATE runnel.river_job SET
    state        = CASE WHEN metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE 'available' END::runnel.river_job_state,
    finalized_at = CASE WHEN metadata ? 'cancel_attempted_at' THEN now() END,
    attempt      = CASE WHEN metadata ? 'cancel_attempted_at' THEN attempt ELSE attempt - 1 END
  WHERE id = $1 AND attempt = $2 AND state = 'running'
  RETURNING id
)
SELECT pg_notify('runnel.river_insert', '{"queue":"functions"}')::text FROM given
