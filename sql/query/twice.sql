-- What the ledger cannot say of itself: runs of a schedule beyond the first for
-- the same match (replays are asked for), and ticks that fired a run of which nothing is left, neither
-- event nor job nor log row.
-- $1 bigint schedule  $2 timestamptz since
SELECT
  (SELECT coalesce(sum(n - 1), 0) FROM (
     SELECT count(DISTINCT e.id) AS n FROM runnel.invocation_events e
     WHERE e.trigger = 'schedule' AND e.replay_of IS NULL AND e.request_id LIKE 'schedule:' || $1::bigint || ':%' AND e.created_at >= $2 AND e.replay_of IS NULL
     GROUP BY e.request_id) runs),
  (SELECT count(*) FROM runnel.schedule_ticks t
   WHERE t.schedule_id = $1 AND t.scheduled_time >= $2 AND t.invocation_id IS NOT NULL
     AND NOT EXISTS (SELECT FROM runnel.invocation_events e WHERE e.id = t.invocation_id AND e.created_at = t.created_at)
     AND NOT EXISTS (SELECT FROM runnel.river_job j WHERE j.id = t.job_id AND j.args ->> 'id' = t.invocation_id::text)
     AND NOT EXISTS (SELECT FROM runnel.function_invocations i WHERE i.id = t.invocation_id AND i.created_at = t.created_at))
