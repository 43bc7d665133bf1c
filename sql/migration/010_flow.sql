-- Flow control: how many attempts of a function may run at once and start in a
-- time, on all workers together, and in which order jobs are taken.
--
-- Operator: adds columns with constant defaults to runnel.functions (no rewrite)
-- and two partial indexes to runnel.river_job, which lock out writers while they
-- are built. They hold unfinished jobs only, so that takes as long as reading the
-- table: with millions of finished jobs, migrate at a quiet time.

ALTER TABLE runnel.functions
  ADD COLUMN concurrency_key text CHECK (octet_length(concurrency_key) BETWEEN 1 AND 256),  -- a field such as 'tenant.id'
  ADD COLUMN max_concurrency_per_key int CHECK (max_concurrency_per_key >= 1),
  ADD COLUMN rate_per_second double precision CHECK (rate_per_second > 0),                  -- null: unlimited
  ADD COLUMN rate_burst int CHECK (rate_burst >= 1),
  ADD COLUMN priority int CHECK (priority BETWEEN 1 AND 4),                                 -- null: 1
  ADD COLUMN paused boolean NOT NULL DEFAULT false,
  ADD CONSTRAINT functions_key_limit CHECK ((concurrency_key IS NULL) = (max_concurrency_per_key IS NULL)),
  ADD CONSTRAINT functions_rate CHECK ((rate_per_second IS NULL) = (rate_burst IS NULL));

-- What limited functions have used of their rate. Its rows are also the locks of
-- runnel.fetch_jobs: a table of ours and not an advisory lock, which any login of
-- the server could take.
CREATE TABLE runnel.function_flow (
  function_id uuid PRIMARY KEY REFERENCES runnel.functions ON DELETE CASCADE,
  tokens      double precision,   -- null: full
  refilled_at timestamptz
) WITH (fillfactor = 50);

-- A job's function and key (runnel.job_args) in front, so that the jobs of one
-- function, or of one key of it, are found without those of others: what is in the
-- way costs nothing, however much of it there is.
CREATE INDEX river_job_waiting ON runnel.river_job
  ((coalesce(args ->> 'function', '') COLLATE "C"), (coalesce(args ->> 'key', '') COLLATE "C"), priority, scheduled_at, id)
  WHERE state = 'available' AND kind = 'invoke' AND queue = 'functions';
CREATE INDEX river_job_running ON runnel.river_job
  ((coalesce(args ->> 'function', '') COLLATE "C"), (coalesce(args ->> 'key', '') COLLATE "C"))
  WHERE state = 'running' AND kind = 'invoke' AND queue = 'functions';

-- The key of an event: the field at a dotted path of its body, payload or row. A
-- hash of it, because job rows are shown to people and values may be personal.
-- Null where the event has no such field, or cannot be read.
CREATE FUNCTION runnel.event_key(path text, event bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  e json;
  v text;
BEGIN
  e := convert_from(event, 'UTF8')::json;
  e := CASE e ->> 'trigger'
         WHEN 'http' THEN e -> 'body'
         WHEN 'database' THEN CASE WHEN json_typeof(e -> 'new') = 'object' THEN e -> 'new' ELSE e -> 'old' END
         ELSE e -> 'payload' END;
  v := e #>> string_to_array(path, '.');
  RETURN left(encode(sha256(convert_to(v, 'UTF8')), 'hex'), 16);
EXCEPTION WHEN OTHERS THEN  -- no UTF-8, or \u0000, which text cannot hold
  RETURN NULL;
END $$;

-- The River arguments of an invocation. Whatever makes jobs uses this.
CREATE FUNCTION runnel.job_args(id uuid, function text, concurrency_key text, event bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN concurrency_key IS NULL THEN jsonb_build_object('id', id, 'function', function)
         ELSE jsonb_strip_nulls(jsonb_build_object('id', id, 'function', function, 'key', runnel.event_key(concurrency_key, event))) END
$$;

-- A function's flow as runnel.Flow in Go reads it.
CREATE FUNCTION runnel.flow(f runnel.functions) RETURNS json
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN f.id IS NOT NULL THEN json_strip_nulls(json_build_object(
    'max_concurrency', f.max_concurrency, 'concurrency_key', f.concurrency_key, 'max_concurrency_per_key', f.max_concurrency_per_key,
    'rate', CASE WHEN f.rate_per_second IS NOT NULL THEN json_build_object('per_second', f.rate_per_second, 'burst', f.rate_burst) END,
    'priority', f.priority, 'paused', f.paused)) END
$$;

-- Whole tokens of a function's rate now, and the seconds until there is one.
CREATE FUNCTION runnel.tokens(f runnel.functions, flow runnel.function_flow, OUT tokens double precision, OUT wait double precision)
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
CREATE FUNCTION runnel.fetch_jobs(worker text, slots int, max_attempted_by int, after text, busy text[], used double precision[])
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
CREATE FUNCTION runnel.room(f runnel.functions, key text, OUT room int, OUT wait double precision)
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
CREATE FUNCTION runnel.waits(function text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM runnel.river_job j
    WHERE j.state = 'available' AND j.kind = 'invoke' AND j.queue = 'functions'
      AND coalesce(j.args ->> 'function', '') COLLATE "C" = waits.function);
END $$;

-- What follows is 003_invoke's, with keys and the functions' own priorities.

-- One event row and one River job for each event, under the caller of this
-- transaction, and one notification. Everything that SQL enqueues goes through
-- here; query/enqueue.sql is its twin for HTTP, where one statement serves many
-- functions and callers.
--
-- The notification is River's own (a queue to look at, no authority). Postgres
-- delivers it at COMMIT and merges identical ones.
CREATE OR REPLACE FUNCTION runnel.enqueue(
  f runnel.functions, trigger text, ids uuid[], events text[],
  run_at timestamptz DEFAULT now(), priority int DEFAULT NULL, max_attempts int DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  who runnel.caller := runnel.current_caller(f.can_bypass_rls);
BEGIN
  WITH wanted AS (
    SELECT e.id, e.event FROM unnest(ids, events) AS e(id, event)
  ), kept AS (
    INSERT INTO runnel.invocation_events (id, created_at, function_id, function_name, trigger, event, role, user_id, claims)
    SELECT w.id, now(), f.id, f.name, enqueue.trigger, convert_to(w.event, 'UTF8'), who.role, who.user_id, who.claims
    FROM wanted w
  )
  INSERT INTO runnel.river_job (args, created_at, kind, max_attempts, priority, queue, scheduled_at, state, tags)
  SELECT runnel.job_args(w.id, f.name, f.concurrency_key, convert_to(w.event, 'UTF8')), now(), 'invoke',
         coalesce(enqueue.max_attempts, f.max_attempts, runnel.default_attempts(enqueue.trigger)),
         coalesce(enqueue.priority, f.priority, 1), 'functions', greatest(run_at, now()),
         CASE WHEN run_at > now() THEN 'scheduled' ELSE 'available' END::runnel.river_job_state,
         ARRAY[f.name, enqueue.trigger]
  FROM wanted w;

  PERFORM pg_notify('runnel.river_insert', '{"queue":"functions"}');
END $$;

-- Enqueues one invocation; it runs after COMMIT, or never after ROLLBACK.
-- Answers the invocation's id: its log rows in runnel.function_invocations have it.
--
-- With an idempotency key, the same key and function within 24 hours answer the
-- first invocation's id and enqueue nothing. A concurrent call with the same key
-- waits until the first one's transaction ends.
CREATE OR REPLACE FUNCTION runnel.invoke(
  function        text,
  payload         jsonb DEFAULT 'null',
  run_at          timestamptz DEFAULT now(),
  idempotency_key text DEFAULT NULL,
  priority        int DEFAULT NULL,  -- the function's, else 1
  max_attempts    int DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  f runnel.functions := runnel.find_function(invoke.function);
  invocation uuid := runnel.uuid_v7();
  first uuid;
BEGIN
  IF NOT f.enabled THEN
    RAISE EXCEPTION 'function % is disabled', quote_ident(f.name)
      USING ERRCODE = '42704', HINT = 'Enable it before it is invoked.';
  END IF;
  IF priority NOT BETWEEN 1 AND 4 THEN
    RAISE EXCEPTION 'priority must be 1 to 4, not %', priority
      USING ERRCODE = '22023', HINT = '1 runs first, 4 runs last.';
  END IF;
  IF max_attempts NOT BETWEEN 1 AND 25 THEN
    RAISE EXCEPTION 'max_attempts must be 1 to 25, not %', max_attempts
      USING ERRCODE = '22023', HINT = 'Leave it out for the function''s own setting.';
  END IF;
  IF run_at IS NULL OR run_at >= '9999-01-01' OR run_at = '-infinity' THEN
    RAISE EXCEPTION 'run_at must be a time, not %', coalesce(run_at::text, 'NULL')
      USING ERRCODE = '22023', HINT = 'Leave it out to run at once, or give a time such as now() + interval ''1 hour''.';
  END IF;
  IF octet_length(payload::text) > 6291456 THEN
    RAISE EXCEPTION 'payload is % bytes: at most 6 MB can be handed to a function', octet_length(payload::text)
      USING ERRCODE = '54000', HINT = 'Store it in a table and pass its key.';
  END IF;

  IF idempotency_key IS NOT NULL THEN
    IF octet_length(idempotency_key) NOT BETWEEN 1 AND 255 THEN
      RAISE EXCEPTION 'idempotency_key must be 1 to 255 bytes, not %', octet_length(idempotency_key)
        USING ERRCODE = '22023', HINT = 'Use a short name of the work, or a hash of it.';
    END IF;
    INSERT INTO runnel.idempotency_keys AS k (function_id, key, id)
    VALUES (f.id, idempotency_key, invocation)
    ON CONFLICT (function_id, key) DO UPDATE SET id = excluded.id, created_at = excluded.created_at
      WHERE k.created_at <= now() - interval '24 hours'
    RETURNING k.id INTO first;
    IF first IS NULL THEN
      SELECT k.id INTO STRICT first FROM runnel.idempotency_keys k
      WHERE k.function_id = f.id AND k.key = idempotency_key;
      RETURN first;
    END IF;
  END IF;

  PERFORM runnel.enqueue(f, 'sql', ARRAY[invocation],
    ARRAY['{"trigger":"sql","payload":' || coalesce(payload::text, 'null') || '}'],
    run_at, priority, max_attempts);
  RETURN invocation;
END $$;
