-- Workers, the newest heartbeat first; those of a finished day are gone.
-- Age in seconds of the last heartbeat.
SELECT id, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM runnel.workers ORDER BY seen_at DESC LIMIT 100
