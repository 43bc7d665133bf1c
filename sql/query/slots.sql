-- The slots of one level: those that nobody is connected as, in no particular
-- order; those whose password was made from another secret; how their names begin;
-- and the highest number of any. The names of other databases' slots, which a
-- restored dump brings along, are not ours.
-- $1 text level  $2 text mark of the passwords
WITH own AS (
  SELECT 'runnel_' || oid || '_' || $1::text || '_' AS prefix FROM pg_database WHERE datname = current_database()
), ours AS (
  SELECT s.slot, s.mark, substr(s.slot, length(own.prefix) + 1)::int AS number,
         EXISTS (SELECT FROM pg_stat_activity a WHERE a.usename = s.slot) AS busy
  FROM runnel.slots s, own WHERE s.level = $1::name AND starts_with(s.slot, own.prefix)
)
SELECT coalesce(array_agg(slot::text ORDER BY random()) FILTER (WHERE mark = $2::text AND NOT busy), '{}'),
       coalesce(array_agg(slot::text) FILTER (WHERE mark <> $2::text AND NOT busy), '{}'),
       (SELECT prefix FROM own),
       coalesce(max(number), 0)
FROM ours
