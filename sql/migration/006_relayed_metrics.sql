-- What a worker that cannot be scraped shows at web's /metrics.
--
-- Operator: adds a column without a value to a small table, for a moment.

-- Prometheus's text format, compressed. NULL: the worker has a METRICS_PORT.
ALTER TABLE runnel.workers ADD COLUMN metrics bytea;
