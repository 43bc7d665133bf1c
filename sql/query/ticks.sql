-- A schedule's ticks, newest first.
-- $1 bigint schedule  $2 timestamptz since (null: any)
-- $3 timestamptz time of the last tick of the page before, or null  $4 int rows
SELECT scheduled_time, outcome, coalesce(reason, ''), waiting, invocation_id, created_at
FROM runnel.schedule_ticks
WHERE schedule_id = $1
  AND ($2::timestamptz IS NULL OR scheduled_time >= $2)
  AND ($3::timestamptz IS NULL OR scheduled_time < $3)
ORDER BY scheduled_time DESC
LIMIT $4
