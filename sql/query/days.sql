-- The ends of the partitions' days that are longer ago than the retention, oldest
-- first, and the time of the retention itself.
-- $1 interval
SELECT DISTINCT least(((d.day + 1)::timestamp AT TIME ZONE 'UTC'), now() - $1::interval)
FROM pg_inherits i
JOIN pg_class child ON child.oid = i.inhrelid
JOIN pg_class parent ON parent.oid = i.inhparent
CROSS JOIN LATERAL (SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day) d
WHERE parent.relnamespace = 'runnel'::regnamespace AND parent.relname = 'invocation_events' AND child.relname ~ '_[0-9]{8}$'
ORDER BY 1
