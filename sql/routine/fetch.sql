-- Flow control: which jobs a worker gets, and how many of them.

-- A function's flow as runnel.Flow in Go reads it.
CREATE OR REPLACE FUNCTION runnel.flow(f runnel.functions) RETURNS json
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN f.id IS NOT NULL THEN json_strip_nulls(json_build_object(
    'max_concurrency', f.max_concurrency, 'concurrency_key', f.concurrency_key, 'max_concurrency_per_key', f.max_concurrency_per_key,
    'rate', CASE WHEN f.rate_per_second IS NOT NULL THEN json_build_object('per_second', f.rate_per_second, 'burst', f.rate_burst) END,
    'priority', f.priority, 'paused', f.paused)) END
$$;

-- Whole tokens of a function's rate now, and the seconds until there is one.
CREATE OR REPLACE FUNCTION runnel.tokens(f runnel.functions, flow runnel.function_flow, OUT tokens double precision, OUT wait double precision)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  tokens := least(f.rate_burst, coalesce(flow.tokens, f.rate_burst)
    + f.rate_per_second * greatest(0, coalesce(date_part('epoch', clock_timestamp() - flow.refilled_at), 0)));
  wait := greatest(0, (1 - tokens) / f.rate_per_second);
END $$;

-- Takes jobs for a worker: River's JobGetAvailable, with flow control.
--
-- Which functions: those that have jobs waiting, at most 128 in one call and less
-- where few slots are free, from
-- `after` on and around. Those first that have used the worker least (`busy` and
-- `used`, what is not named has used nothing), then those whose first job has the
-- better priority. Each gets its share of `slots`, and what one leaves goes to the
-- others. Within a function (and key) jobs go by priority, then by time.
--
-- Which jobs are allowed: under the lock of the function's row in function_flow,
-- running jobs are counted by a statement of their own, which sees what the last
-- holder of the lock committed. So no limit is ever exceeded, and what the count
-- says is right after any crash. Functions without limits take no lock.
--
-- The last row has no job: `next` is the next call's `after`, and `again` is in how
-- many seconds it would find more without being told (null: when it is told).
--
-- The settings make the plans independent of statistics, which are wrong exactly
-- when a backlog has just come up.
CREATE OR REPLACE FUNCTION runnel.fetch_jobs(worker text, slots int, max_attempted_by int, after text, busy text[], used double precision[])
RETURNS TABLE (job runnel.river_job, next text, again double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  looks    constant int := 128;   -- at keys of a function
  first    constant int := least(128, 8 + 4 * slots);  -- at functions
  low      text := after;         -- look from here on
  wrapped  boolean := after = '';
  name     text;
  prio     int;
  names    text[] := '{}';
  prios    int[] := '{}';
  room     int := slots;          -- of the worker
  hungry   text[];                -- functions that may have more than their share
  full_up  text[] := '{}';        -- functions that are not asked again
  c        record;
  f        runnel.functions;
  flow     runnel.function_flow;
  bucket   record;
  quota    int;
  taken    int;
  got      int;
  others   int;
  lane     text;
  start    text;
  lane_low text;
  lane_wrapped boolean;
  beyond   boolean := false;      -- there are more than were looked at
  want     int;
BEGIN
  next := '';
  LOOP
    SELECT coalesce(j.args ->> 'function', '') COLLATE "C", j.priority INTO name, prio
    FROM runnel.river_job j
    WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
      AND coalesce(j.args ->> 'function', '') COLLATE "C" >= low
    ORDER BY coalesce(j.args ->> 'function', '') COLLATE "C", coalesce(j.args ->> 'key', '') COLLATE "C", j.priority, j.scheduled_at, j.id
    LIMIT 1;
    IF NOT FOUND OR wrapped AND after <> '' AND name >= after COLLATE "C" THEN
      EXIT WHEN wrapped;
      wrapped := true;
      low := '';
      CONTINUE;
    END IF;
    names := names || name;
    prios := prios || prio;
    low := name || chr(1);  -- the least text that is greater
    IF cardinality(names) = first THEN
      next := low;
      EXIT;
    END IF;
  END LOOP;

  hungry := names;
  WHILE room > 0 AND cardinality(hungry) > 0 LOOP
    others := cardinality(hungry);
    names := hungry;
    hungry := '{}';
    FOR c IN
      SELECT n.name
      FROM unnest(names, prios) AS n(name, prio)
      LEFT JOIN unnest(busy, used) AS u(name, used) ON u.name = n.name
      WHERE n.name = ANY (names)
      ORDER BY coalesce(u.used, 0), n.prio, random()
    LOOP
      EXIT WHEN room = 0;
      quota := (room + others - 1) / others;
      others := others - 1;
      taken := 0;
      want := quota;
      SELECT * INTO f FROM runnel.functions AS known WHERE known.name = c.name COLLATE "C";
      CONTINUE WHEN f.paused;
      IF f.max_concurrency IS NOT NULL OR f.rate_per_second IS NOT NULL OR f.concurrency_key IS NOT NULL THEN
        SELECT * INTO flow FROM runnel.function_flow AS known WHERE known.function_id = f.id FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
          INSERT INTO runnel.function_flow (function_id) VALUES (f.id) ON CONFLICT DO NOTHING RETURNING * INTO flow;
          IF NOT FOUND THEN  -- another worker takes jobs of it just now
            again := least(again, 0.005);
            CONTINUE;
          END IF;
        END IF;
        IF f.max_concurrency IS NOT NULL THEN
          want := least(want, f.max_concurrency - (
            SELECT count(*) FROM runnel.river_job j
            WHERE j.state = 'running' AND j.kind = 'invoke' AND j.queue = 'functions'
              AND coalesce(j.args ->> 'function', '') COLLATE "C" = c.name));
        END IF;
        IF f.rate_per_second IS NOT NULL THEN
          SELECT * INTO bucket FROM runnel.tokens(f, flow);
          want := least(want, floor(bucket.tokens));
          IF bucket.tokens < 1 THEN
            again := least(again, bucket.wait + 0.001);
          END IF;
        END IF;
        CONTINUE WHEN want <= 0;
      END IF;

      IF f.concurrency_key IS NULL THEN
        RETURN QUERY
          WITH picked AS (
            SELECT j.id FROM runnel.river_job j
            WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
              AND coalesce(j.args ->> 'function', '') COLLATE "C" = c.name AND j.scheduled_at <= now()
            ORDER BY coalesce(j.args ->> 'key', '') COLLATE "C", j.priority, j.scheduled_at, j.id
            LIMIT want FOR UPDATE SKIP LOCKED
          )
          UPDATE runnel.river_job j SET state = 'running', attempt = j.attempt + 1, attempted_at = now(),
            attempted_by = array_append(CASE WHEN cardinality(j.attempted_by) >= max_attempted_by
              THEN j.attempted_by[cardinality(j.attempted_by) + 2 - max_attempted_by:] ELSE j.attempted_by END, worker)
          FROM picked WHERE j.id = picked.id
          RETURNING j, NULL::text, NULL::double precision;
        GET DIAGNOSTICS taken = ROW_COUNT;
      ELSE
        -- Key by key, from a random one on and around: keys are hashes.
        start := left(md5(random()::text), 16);
        lane_low := start;
        lane_wrapped := false;
        FOR i IN 1..looks LOOP
          SELECT coalesce(j.args ->> 'key', '') COLLATE "C" INTO lane
          FROM runnel.river_job j
          WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
            AND coalesce(j.args ->> 'function', '') COLLATE "C" = c.name
            AND coalesce(j.args ->> 'key', '') COLLATE "C" >= lane_low
          ORDER BY coalesce(j.args ->> 'key', '') COLLATE "C", j.priority, j.scheduled_at, j.id
          LIMIT 1;
          IF NOT FOUND OR lane_wrapped AND lane >= start COLLATE "C" THEN
            EXIT WHEN lane_wrapped;
            lane_wrapped := true;
            lane_low := '';
            CONTINUE;
          END IF;
          lane_low := lane || chr(1);
          got := want - taken;
          IF lane <> '' THEN  -- what has no key is not limited by it
            got := least(got, f.max_concurrency_per_key - (
              SELECT count(*) FROM runnel.river_job j
              WHERE j.state = 'running' AND j.kind = 'invoke' AND j.queue = 'functions'
                AND coalesce(j.args ->> 'function', '') COLLATE "C" = c.name
                AND coalesce(j.args ->> 'key', '') COLLATE "C" = lane));
          END IF;
          IF got > 0 THEN
            RETURN QUERY
              WITH picked AS (
                SELECT j.id FROM runnel.river_job j
                WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
                  AND coalesce(j.args ->> 'function', '') COLLATE "C" = c.name
                  AND coalesce(j.args ->> 'key', '') COLLATE "C" = lane AND j.scheduled_at <= now()
                ORDER BY j.priority, j.scheduled_at, j.id
                LIMIT got FOR UPDATE SKIP LOCKED
              )
              UPDATE runnel.river_job j SET state = 'running', attempt = j.attempt + 1, attempted_at = now(),
                attempted_by = array_append(CASE WHEN cardinality(j.attempted_by) >= max_attempted_by
                  THEN j.attempted_by[cardinality(j.attempted_by) + 2 - max_attempted_by:] ELSE j.attempted_by END, worker)
              FROM picked WHERE j.id = picked.id
              RETURNING j, NULL::text, NULL::double precision;
            GET DIAGNOSTICS got = ROW_COUNT;
            taken := taken + got;
          END IF;
          EXIT WHEN taken = want;
          IF i = looks THEN
            beyond := true;  -- keys that were not looked at
          END IF;
        END LOOP;
      END IF;

      IF f.rate_per_second IS NOT NULL AND taken > 0 THEN
        UPDATE runnel.function_flow AS known SET tokens = bucket.tokens - taken, refilled_at = clock_timestamp()
        WHERE known.function_id = f.id;
      END IF;
      room := room - taken;
      IF taken = quota THEN
        hungry := hungry || c.name;
      ELSIF taken = want AND f.rate_per_second IS NOT NULL THEN
        again := least(again, 1 / f.rate_per_second);
      END IF;
    END LOOP;
  END LOOP;

  -- Functions and keys that were not looked at. Where nothing could be taken,
  -- there is less of a hurry: looking costs the database milliseconds.
  IF room > 0 AND (beyond OR next <> '') THEN
    again := CASE WHEN room < slots THEN 0 ELSE least(again, 0.025) END;
  END IF;
  job := NULL;
  RETURN NEXT;
END $$;

-- Whether a caller who waits can be taken now: how many more attempts of a function
-- (and key) could start, behind what waits already, and in how many seconds to ask
-- again when there is no room. Nothing is reserved: it is right for one caller at a
-- time, and whoever loses a race waits for its turn.
CREATE OR REPLACE FUNCTION runnel.room(f runnel.functions, key text, OUT room int, OUT wait double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
  bucket record;
  flow runnel.function_flow;
  waiting int;
  most int;
BEGIN
  wait := 1;
  IF f.paused THEN
    room := 0;
    wait := 10;
    RETURN;
  END IF;
  room := 2147483647;
  most := 1 + least(coalesce(f.max_concurrency, 2147483646), coalesce(f.rate_burst, 2147483646));
  IF f.max_concurrency IS NOT NULL OR f.rate_per_second IS NOT NULL THEN
    waiting := (SELECT count(*) FROM (
      SELECT FROM runnel.river_job j
      WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
        AND coalesce(j.args ->> 'function', '') COLLATE "C" = f.name LIMIT most) w);
  END IF;
  IF f.max_concurrency IS NOT NULL THEN
    room := f.max_concurrency - waiting - (
      SELECT count(*) FROM runnel.river_job j
      WHERE j.state = 'running' AND j.kind = 'invoke' AND j.queue = 'functions'
        AND coalesce(j.args ->> 'function', '') COLLATE "C" = f.name);
  END IF;
  IF f.rate_per_second IS NOT NULL THEN
    SELECT * INTO flow FROM runnel.function_flow AS known WHERE known.function_id = f.id;
    SELECT * INTO bucket FROM runnel.tokens(f, flow);
    IF floor(bucket.tokens) - waiting < room THEN
      room := floor(bucket.tokens) - waiting;
      wait := (waiting + greatest(room, 0) + 1 - bucket.tokens) / f.rate_per_second;
    END IF;
  END IF;
  IF key IS NOT NULL AND f.max_concurrency_per_key IS NOT NULL THEN
    room := least(room, f.max_concurrency_per_key - (
      SELECT count(*) FROM runnel.river_job j
      WHERE j.state = 'running' AND j.kind = 'invoke' AND j.queue = 'functions'
        AND coalesce(j.args ->> 'function', '') COLLATE "C" = f.name AND coalesce(j.args ->> 'key', '') COLLATE "C" = key) - (
      SELECT count(*) FROM (
        SELECT FROM runnel.river_job j
        WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
          AND coalesce(j.args ->> 'function', '') COLLATE "C" = f.name AND coalesce(j.args ->> 'key', '') COLLATE "C" = key
        LIMIT f.max_concurrency_per_key + 1) w));
  END IF;
END $$;

-- Whether jobs of a function wait.
CREATE OR REPLACE FUNCTION runnel.waits(function text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM runnel.river_job j
    WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
      AND coalesce(j.args ->> 'function', '') COLLATE "C" = waits.function);
END $$;
