-- Answers the database's time.
-- $1 text worker
INSERT INTO runnel.workers (id) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
RETURNING seen_at
