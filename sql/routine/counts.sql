-- Counts of attempts that stay exact when log rows go.
--
-- Operator: the trigger on runnel.function_invocations is made anew when this file
-- changes, which waits for running transactions on that table.

-- Four buckets double the duration: a percentile is right within 9 %. -1 is what
-- never ran, and ends below 10 us share bucket 0.
CREATE OR REPLACE FUNCTION runnel.duration_bucket(ms double precision, ran boolean) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN NOT ran THEN -1 WHEN ms <= 0.01 THEN 0 ELSE least(127, floor(4 * ln(ms / 0.01) / ln(2))::int) END
$$;

-- The middle of a bucket, in milliseconds.
CREATE OR REPLACE FUNCTION runnel.bucket_ms(bucket int) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 0.01 * power(2, (bucket + 0.5) / 4) $$;

-- Counts log rows as they are inserted, whoever inserts them, in their transaction.
CREATE OR REPLACE FUNCTION runnel.count_invocations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO runnel.invocation_counts_new
  SELECT date_trunc('hour', r.finished_at, 'UTC'), coalesce(r.function_id, '00000000-0000-0000-0000-000000000000'), r.function_name, r.trigger, r.status,
         runnel.duration_bucket(r.duration_ms, r.started_at IS NOT NULL), count(*), sum(r.duration_ms), max(r.finished_at)
  FROM inserted r
  GROUP BY 1, 2, 3, 4, 5, 6;
  RETURN NULL;
END $$;

-- Rows reach partitions through this table only; ensure_partitions moves rows
-- between partitions, and does not pass here.
CREATE OR REPLACE TRIGGER count_invocations AFTER INSERT ON runnel.function_invocations
  REFERENCING NEW TABLE AS inserted
  FOR EACH STATEMENT EXECUTE FUNCTION runnel.count_invocations();

-- Adds up what was counted, at most a hundred thousand rows of it, and makes days of
-- the hours that are older than 35 days. Answers how many rows it took. Nothing is
-- ever counted twice or missed by a reader: both happen in one transaction. While
-- another process does it, there is nothing to do.
CREATE OR REPLACE FUNCTION runnel.compact_counts() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  taken int;
  aged int;
BEGIN
  PERFORM FROM runnel.compaction FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  WITH taken_now AS MATERIALIZED (
    SELECT ctid FROM runnel.invocation_counts_new LIMIT 100000
  ), gone AS (
    DELETE FROM runnel.invocation_counts_new n USING taken_now t WHERE n.ctid = t.ctid RETURNING n.*
  ), kept AS (
    INSERT INTO runnel.invocation_counts AS c
    SELECT CASE WHEN g.hour < now() - interval '35 days' THEN date_trunc('day', g.hour) ELSE g.hour END, g.function_id, max(g.function_name),
           g.trigger, g.status, g.bucket, sum(g.attempts), sum(g.duration_ms), max(g.last_at)
    FROM gone g GROUP BY 1, 2, 4, 5, 6
    ON CONFLICT (function_id, hour, trigger, status, bucket) DO UPDATE SET
      attempts = c.attempts + excluded.attempts, duration_ms = c.duration_ms + excluded.duration_ms, last_at = greatest(c.last_at, excluded.last_at)
  )
  SELECT count(*) INTO taken FROM gone;
  WITH old AS (
    DELETE FROM runnel.invocation_counts c
    WHERE c.hour < date_trunc('day', now() - interval '35 days') AND c.hour <> date_trunc('day', c.hour) RETURNING c.*
  ), kept AS (
    INSERT INTO runnel.invocation_counts AS c
    SELECT date_trunc('day', g.hour), g.function_id, max(g.function_name), g.trigger, g.status, g.bucket, sum(g.attempts), sum(g.duration_ms), max(g.last_at)
    FROM old g GROUP BY 1, 2, 4, 5, 6
    ON CONFLICT (function_id, hour, trigger, status, bucket) DO UPDATE SET
      attempts = c.attempts + excluded.attempts, duration_ms = c.duration_ms + excluded.duration_ms, last_at = greatest(c.last_at, excluded.last_at)
  )
  SELECT count(*) INTO aged FROM old;
  UPDATE runnel.compaction SET at = now();
  RETURN taken + aged;
END $$;

-- Statistics of functions since a time, in whole hours; of one, or of all (null).
-- What was skipped or cancelled is no run: it is in no rate and no percentile.
CREATE OR REPLACE FUNCTION runnel.stats(since timestamptz DEFAULT '-infinity', function uuid DEFAULT NULL)
RETURNS TABLE (
  function_id uuid, function_name text, attempts bigint, success bigint, error bigint, timeout bigint, out_of_memory bigint,
  cancelled bigint, lost bigint, skipped bigint, error_rate double precision,
  mean_ms double precision, p50_ms double precision, p95_ms double precision, p99_ms double precision, last_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH counted AS (
    SELECT c.function_id, c.function_name, c.status, c.bucket, c.attempts, c.duration_ms, c.last_at
    FROM runnel.invocation_counts c WHERE c.hour >= date_trunc('hour', since, 'UTC') AND (function IS NULL OR c.function_id = function)
    UNION ALL
    SELECT c.function_id, c.function_name, c.status, c.bucket, c.attempts, c.duration_ms, c.last_at
    FROM runnel.invocation_counts_new c WHERE c.hour >= date_trunc('hour', since, 'UTC') AND (function IS NULL OR c.function_id = function)
  ), buckets AS (
    SELECT b.function_id, b.bucket, sum(b.n) OVER (PARTITION BY b.function_id ORDER BY b.bucket) AS up_to, sum(b.n) OVER (PARTITION BY b.function_id) AS all_of_it
    FROM (SELECT c.function_id, c.bucket, sum(c.attempts) AS n FROM counted c WHERE c.bucket >= 0 GROUP BY 1, 2) b
  ), percentiles AS (
    SELECT b.function_id,
           runnel.bucket_ms(min(b.bucket) FILTER (WHERE b.up_to >= 0.50 * b.all_of_it)) AS p50,
           runnel.bucket_ms(min(b.bucket) FILTER (WHERE b.up_to >= 0.95 * b.all_of_it)) AS p95,
           runnel.bucket_ms(min(b.bucket) FILTER (WHERE b.up_to >= 0.99 * b.all_of_it)) AS p99
    FROM buckets b GROUP BY 1
  ), sums AS (
    SELECT c.function_id, max(c.function_name) AS function_name, sum(c.attempts)::bigint AS attempts,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'success'), 0)::bigint AS success,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'error'), 0)::bigint AS error,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'timeout'), 0)::bigint AS timeout,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'out_of_memory'), 0)::bigint AS out_of_memory,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'cancelled'), 0)::bigint AS cancelled,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'lost'), 0)::bigint AS lost,
           coalesce(sum(c.attempts) FILTER (WHERE c.status = 'skipped'), 0)::bigint AS skipped,
           sum(c.duration_ms) FILTER (WHERE c.bucket >= 0) / nullif(sum(c.attempts) FILTER (WHERE c.bucket >= 0), 0) AS mean_ms,
           max(c.last_at) AS last_at
    FROM counted c GROUP BY 1
  )
  SELECT s.function_id, s.function_name, s.attempts, s.success, s.error, s.timeout, s.out_of_memory, s.cancelled, s.lost, s.skipped,
         coalesce((s.error + s.timeout + s.out_of_memory + s.lost)::double precision
           / nullif(s.success + s.error + s.timeout + s.out_of_memory + s.lost, 0), 0),
         coalesce(s.mean_ms, 0), coalesce(p.p50, 0), coalesce(p.p95, 0), coalesce(p.p99, 0), s.last_at
  FROM sums s LEFT JOIN percentiles p USING (function_id)
$$;

-- The statistics of all functions, deleted ones included, from their first attempt on.
-- To let a role read them: GRANT SELECT ON runnel.function_stats and GRANT EXECUTE ON
-- FUNCTION runnel.stats.
CREATE OR REPLACE VIEW runnel.function_stats AS SELECT * FROM runnel.stats();
