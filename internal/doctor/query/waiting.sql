-- How long the job that waits longest has been due, in seconds; null for none.
SELECT extract(epoch FROM clock_timestamp() - scheduled_at)::float8
FROM runnel.river_job WHERE state = 'available' AND queue = 'functions' AND kind = 'invoke'
ORDER BY priority, scheduled_at LIMIT 1
