-- The River job of an invocation. No row: it was removed, a day after it ended, or
-- there never was one.
-- $1 uuid id
SELECT j.id, j.args ->> 'function', coalesce(j.tags[2], ''), j.state, j.attempt, j.max_attempts, j.created_at, j.scheduled_at, j.attempted_at, j.finalized_at,
       j.metadata ? 'cancel_attempted_at', coalesce(e.request_id, ''), coalesce(e.replay_of::text, '')
FROM runnel.find_job($1::uuid) j
LEFT JOIN runnel.invocation_events e ON e.id = (j.args ->> 'id')::uuid AND e.created_at = j.created_at
