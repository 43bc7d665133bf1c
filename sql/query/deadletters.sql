-- Dead letters, newest first.
-- $1 text function  $2 text code  $3 text trigger  $4 timestamptz since  $5 timestamptz before  (null: any)
-- $6 uuid one of them, or null
-- $7, $8 failed_at and job of the last row of the page before, or null
-- $9 int rows
SELECT id, job_id, function_name, coalesce(trigger, ''), coalesce(status, ''), coalesce(error_code, ''), coalesce(error_message, ''), attempts,
       coalesce(role, ''), coalesce(user_id, ''), created_at, failed_at
FROM runnel.dead_letters
WHERE ($1::text IS NULL OR function_name = $1)
  AND ($2::text IS NULL OR error_code = $2)
  AND ($3::text IS NULL OR trigger = $3)
  AND ($4::timestamptz IS NULL OR failed_at >= $4)
  AND ($5::timestamptz IS NULL OR failed_at < $5)
  AND ($6::uuid IS NULL OR job_id = (SELECT j.id FROM runnel.find_job($6::uuid) j))
  AND ($7::timestamptz IS NULL OR (failed_at, job_id) < ($7, $8::bigint))
ORDER BY failed_at DESC, job_id DESC
LIMIT $9
