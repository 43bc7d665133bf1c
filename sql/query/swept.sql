-- Moves schedules on. A null next_run: no further match. A null cursor: unchanged.
-- $1 bigint[] schedules  $2 timestamptz[] cursors  $3 timestamptz[] next runs  $4 text[] errors
UPDATE runnel.schedules s SET
  cursor   = coalesce(u.cursor, s.cursor),
  next_run = coalesce(u.next_run, 'infinity'),
  error    = nullif(u.error, '')
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::text[]) AS u(id, cursor, next_run, error)
WHERE s.id = u.id
