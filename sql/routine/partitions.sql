-- Daily partitions: made ahead, dropped when they are old or take too much room.
--
-- Operator: nothing to do. Workers call these; so may you, or pg_cron.

-- Makes the partitions of yesterday (UTC) to `days` days ahead. Cheap when there
-- is nothing to do; any number of processes may call it at once.
--
-- Locks, only when a partition is made: SHARE UPDATE EXCLUSIVE on the table
-- (readers and writers go on) and ACCESS EXCLUSIVE on its default partition,
-- which is searched and whose rows of that day move. It gives up after two
-- seconds of waiting for a lock and is to be called again later.
CREATE OR REPLACE FUNCTION runnel.ensure_partitions(days int DEFAULT 7) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  made int := 0;
  parent text;
  day date;
  part text;
  low timestamptz;
  high timestamptz;
BEGIN
  IF days IS NULL OR days NOT BETWEEN 0 AND 366 THEN
    RAISE EXCEPTION 'runnel.ensure_partitions: days must be 0 to 366' USING ERRCODE = '22023';
  END IF;
  FOREACH parent IN ARRAY '{invocation_events,function_invocations,invocation_responses}'::text[] LOOP
    FOR day IN SELECT current_date + n FROM generate_series(-1, days) AS n LOOP
      part := parent || '_' || to_char(day, 'YYYYMMDD');
      CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'runnel'::regnamespace);
      -- Another caller may have been first: look again once the lock is ours. In
      -- the table, not by to_regclass, whose cache an advisory lock does not renew.
      PERFORM pg_advisory_xact_lock(hashtextextended('runnel.partitions', 0));
      CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'runnel'::regnamespace);
      low := day::timestamptz;
      high := (day + 1)::timestamptz;
      EXECUTE format('LOCK TABLE runnel.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
      EXECUTE format('CREATE TABLE runnel.%I (LIKE runnel.%I INCLUDING ALL)', part, parent);
      EXECUTE format('WITH late AS (DELETE FROM runnel.%I WHERE created_at >= %L AND created_at < %L RETURNING *)
                      INSERT INTO runnel.%I SELECT * FROM late', parent || '_default', low, high, part);
      EXECUTE format('ALTER TABLE runnel.%I ATTACH PARTITION runnel.%I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

-- Drops the partitions whose day ended by `before`, and removes what ages with
-- them. Answers how many partitions it dropped.
--
-- Kept: a day of events that an unfinished job or a dead letter still needs.
-- Responses go after two days whatever `before` says. Locks: dropping a partition
-- takes ACCESS EXCLUSIVE on its table for a moment. Whoever waits for that makes
-- writers wait behind: a partition that cannot be locked within 100 ms is left for
-- the next call.
CREATE OR REPLACE FUNCTION runnel.drop_partitions(before timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
  dropped int := 0;
  p record;
BEGIN
  IF before IS NULL OR before > now() THEN
    RAISE EXCEPTION 'runnel.drop_partitions: before must be in the past' USING ERRCODE = '22023';
  END IF;
  FOR p IN
    SELECT parent.relname AS parent, child.relname AS name, d.day::timestamptz AS low, (d.day + 1)::timestamptz AS high
    FROM pg_inherits i
    JOIN pg_class child ON child.oid = i.inhrelid
    JOIN pg_class parent ON parent.oid = i.inhparent
    CROSS JOIN LATERAL (SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day) d
    WHERE parent.relnamespace = 'runnel'::regnamespace
      AND parent.relname IN ('invocation_events', 'function_invocations', 'invocation_responses')
      AND child.relname ~ '_[0-9]{8}$'
    ORDER BY child.relname
  LOOP
    CONTINUE WHEN p.high > CASE p.parent WHEN 'invocation_responses' THEN greatest(before, now() - interval '2 days') ELSE before END;
    CONTINUE WHEN p.parent = 'invocation_events' AND EXISTS (
      SELECT FROM runnel.river_job j
      WHERE j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
        AND j.kind = 'invoke' AND j.created_at >= p.low AND j.created_at < p.high);
    BEGIN
      EXECUTE format('DROP TABLE runnel.%I', p.name);
      dropped := dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      NULL;
    END;
  END LOOP;
  DELETE FROM runnel.invocation_events_default e WHERE e.created_at < before AND NOT EXISTS (
    SELECT FROM runnel.river_job j
    WHERE j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
      AND j.kind = 'invoke' AND j.created_at = e.created_at);
  DELETE FROM runnel.function_invocations_default WHERE created_at < before;
  DELETE FROM runnel.invocation_responses_default WHERE created_at < greatest(before, now() - interval '2 days');
  DELETE FROM runnel.schedule_ticks WHERE scheduled_time < before;
  DELETE FROM runnel.workers WHERE seen_at < now() - interval '1 day';
  RETURN dropped;
END $$;

-- The size of log, events and responses, in bytes.
CREATE OR REPLACE FUNCTION runnel.log_size() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint
  FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
  WHERE parent.relnamespace = 'runnel'::regnamespace AND parent.relname IN ('invocation_events', 'function_invocations', 'invocation_responses')
$$;

-- Drops the oldest day of log and events while they are larger than `most` bytes:
-- one day in a call, so that its locks are held for a moment. Answers the day, or
-- null when there is nothing that may go: today and yesterday stay, and so do the
-- events of a day that unfinished jobs need.
CREATE OR REPLACE FUNCTION runnel.shrink_log(most bigint) RETURNS date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
  p record;
  oldest date;
BEGIN
  IF most IS NULL OR most <= 0 THEN
    RAISE EXCEPTION 'runnel.shrink_log: the size must be positive' USING ERRCODE = '22023';
  END IF;
  IF runnel.log_size() <= most THEN
    RETURN NULL;
  END IF;
  FOR p IN
    SELECT parent.relname AS parent, child.relname AS name, d.day
    FROM pg_inherits i
    JOIN pg_class child ON child.oid = i.inhrelid
    JOIN pg_class parent ON parent.oid = i.inhparent
    CROSS JOIN LATERAL (SELECT to_date(right(child.relname, 8), 'YYYYMMDD') AS day) d
    WHERE parent.relnamespace = 'runnel'::regnamespace
      AND parent.relname IN ('invocation_events', 'function_invocations', 'invocation_responses')
      AND child.relname ~ '_[0-9]{8}$' AND d.day < current_date - 1
    ORDER BY d.day, parent.relname DESC
  LOOP
    EXIT WHEN p.day > oldest;
    CONTINUE WHEN p.parent = 'invocation_events' AND EXISTS (
      SELECT FROM runnel.river_job j
      WHERE j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded')
        AND j.kind = 'invoke' AND j.created_at >= p.day AND j.created_at < p.day + 1);
    BEGIN
      EXECUTE format('DROP TABLE runnel.%I', p.name);
      oldest := p.day;
    EXCEPTION WHEN lock_not_available THEN
      NULL;
    END;
  END LOOP;
  RETURN oldest;
END $$;
