-- Takes jobs for a worker; the last row has none, and says how to go on.
-- $1 text worker  $2 int slots  $3 int kept attempted_by  $4 text after
-- $5 text[] functions that have used the worker lately  $6 float8[] how much
SELECT (f.job).id, (f.job).args, (f.job).attempt, (f.job).attempted_at, (f.job).attempted_by, (f.job).created_at, (f.job).errors,
       (f.job).finalized_at, (f.job).kind, (f.job).max_attempts, (f.job).metadata, (f.job).priority, (f.job).queue, (f.job).state::text,
       (f.job).scheduled_at, (f.job).tags, f.next, f.again
FROM runnel.fetch_jobs($1, $2, $3, $4, $5, $6) f
