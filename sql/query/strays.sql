-- Running jobs of one worker that it took before a time. It compares them with
-- those that it knows of.
-- $1 text worker  $2 timestamptz taken before
SELECT id, attempt, attempted_at, coalesce(args ->> 'id', '')
FROM runnel.river_job
WHERE state = 'running' AND queue = 'functions' AND kind = 'invoke'
  AND attempted_by[cardinality(attempted_by)] = $1 AND attempted_at < $2
