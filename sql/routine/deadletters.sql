-- Dead letters: what failed for good, to be run again or purged.

-- Dead letters: jobs that River has discarded, because every attempt failed or the
-- failure was one that does not heal. Kept for as long as the log is. An invocation
-- leaves the list when it is redriven or purged; its log rows stay.
--
-- The id is made with CASE and not looked for in WHERE, and that finalized_at is not
-- null is said though it never is: so the planner sees that a page of them is the
-- start of an index.
CREATE OR REPLACE VIEW runnel.dead_letters AS
SELECT j.invocation AS id, j.id AS job_id, j.args ->> 'function' AS function_name, j.tags[2] AS trigger,
       l.status, l.error_code, l.error_message, j.attempt AS attempts, l.role, l.user_id, j.created_at, j.finalized_at AS failed_at
FROM (
  SELECT q.*, CASE WHEN q.args ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (q.args ->> 'id')::uuid END AS invocation
  FROM runnel.river_job q
  WHERE q.state = 'discarded' AND q.kind = 'invoke' AND q.finalized_at IS NOT NULL
) j
LEFT JOIN LATERAL (
  SELECT * FROM runnel.function_invocations i
  WHERE i.id = j.invocation AND i.created_at = j.created_at AND i.attempt = j.attempt
) l ON true
WHERE j.invocation IS NOT NULL;

-- Runs dead letters again: the same invocations, with their next attempts, as many
-- as a new one has. Oldest first; answers their ids. One that another session works
-- on now, or whose event is gone, stays in the list.
-- A null filter is none. since and before are about when it failed.
CREATE OR REPLACE FUNCTION runnel.redrive(
  id       uuid DEFAULT NULL,
  function text DEFAULT NULL,
  code     text DEFAULT NULL,
  since    timestamptz DEFAULT NULL,
  before   timestamptz DEFAULT NULL,
  most     int DEFAULT 1000
) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  letter record;
BEGIN
  FOR letter IN
    SELECT d.id, j.id AS job_id, e.created_at, j.attempt + coalesce(f.max_attempts, runnel.default_attempts(e.trigger)) AS attempts
    FROM runnel.dead_letters d
    JOIN runnel.river_job j ON j.id = d.job_id
    JOIN runnel.invocation_events e ON e.id = d.id AND e.created_at = d.created_at
    LEFT JOIN runnel.functions f ON f.id = e.function_id
    WHERE j.state = 'discarded'
      AND (redrive.id IS NULL OR j.id = (SELECT q.id FROM runnel.find_job(redrive.id) q))
      AND (redrive.function IS NULL OR d.function_name = redrive.function)
      AND (redrive.code IS NULL OR d.error_code = redrive.code)
      AND (redrive.since IS NULL OR j.finalized_at >= redrive.since)
      AND (redrive.before IS NULL OR j.finalized_at < redrive.before)
    ORDER BY j.finalized_at, j.id
    LIMIT most
    FOR UPDATE OF j SKIP LOCKED
  LOOP
    -- What a waiter was told, and a repeated call with the same key, is void.
    DELETE FROM runnel.invocation_responses r WHERE r.id = letter.id AND r.created_at = letter.created_at;
    UPDATE runnel.river_job j SET
      state = 'available', finalized_at = NULL, scheduled_at = now(),
      max_attempts = least(letter.attempts, 32767), metadata = j.metadata - 'cancel_attempted_at'
    WHERE j.id = letter.job_id;
    RETURN NEXT letter.id;
  END LOOP;
  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- Removes dead letters from the list; their log rows stay. Filters as above; answers
-- how many there were.
CREATE OR REPLACE FUNCTION runnel.purge(
  id       uuid DEFAULT NULL,
  function text DEFAULT NULL,
  code     text DEFAULT NULL,
  since    timestamptz DEFAULT NULL,
  before   timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  purged bigint;
BEGIN
  DELETE FROM runnel.river_job j USING runnel.dead_letters d
  WHERE j.id = d.job_id AND j.state = 'discarded'
    AND (purge.id IS NULL OR j.id = (SELECT q.id FROM runnel.find_job(purge.id) q))
    AND (purge.function IS NULL OR d.function_name = purge.function)
    AND (purge.code IS NULL OR d.error_code = purge.code)
    AND (purge.since IS NULL OR j.finalized_at >= purge.since)
    AND (purge.before IS NULL OR j.finalized_at < purge.before);
  GET DIAGNOSTICS purged = ROW_COUNT;
  RETURN purged;
END $$;
