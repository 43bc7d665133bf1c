-- Calls over HTTP with an Idempotency-Key (runnel.idempotent_calls).

-- Whether the first invocation under a key has ended in a way that says nothing
-- about the call: it was lost, or never ran. Then the key is free again. An error of
-- the function's own is its answer, and stays the answer.
CREATE OR REPLACE FUNCTION runnel.key_is_free(invocation uuid, made timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT (l.error_code IN ('WorkerLost', 'Unavailable', 'Internal', 'HashMismatch', 'FunctionNotFound')
            OR l.error_code = 'Cancelled' AND l.started_at IS NULL)
       AND NOT EXISTS (SELECT FROM runnel.river_job j WHERE j.id = l.job_id AND j.state NOT IN ('cancelled', 'completed', 'discarded'))
    FROM runnel.function_invocations l
    WHERE l.id = invocation AND l.created_at = made
    ORDER BY l.attempt DESC LIMIT 1), false)
$$;

-- Takes a key for an invocation that is about to be enqueued, or answers whose it is.
-- Of concurrent calls one is first, and the others wait for its transaction to end.
CREATE OR REPLACE FUNCTION runnel.take_key(function_id uuid, scope bytea, key text, request bytea, invocation uuid)
RETURNS TABLE (id uuid, asked bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  INSERT INTO runnel.idempotent_calls AS c (function_id, scope, key, request, id)
  VALUES (take_key.function_id, take_key.scope, take_key.key, take_key.request, take_key.invocation)
  ON CONFLICT ON CONSTRAINT idempotent_calls_pkey DO UPDATE SET id = excluded.id, request = excluded.request, created_at = excluded.created_at
    WHERE c.created_at <= now() - interval '24 hours' OR runnel.key_is_free(c.id, c.created_at)
  RETURNING c.id, c.request;
  IF NOT FOUND THEN
    RETURN QUERY SELECT c.id, c.request FROM runnel.idempotent_calls c
    WHERE c.function_id = take_key.function_id AND c.scope = take_key.scope AND c.key = take_key.key;
  END IF;
END $$;

-- Keys are forgotten a day after their first call.
CREATE OR REPLACE FUNCTION runnel.forget_keys() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM runnel.idempotency_keys WHERE created_at <= now() - interval '24 hours';
  DELETE FROM runnel.idempotent_calls WHERE created_at <= now() - interval '24 hours';
$$;
