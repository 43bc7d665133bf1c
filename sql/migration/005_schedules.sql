-- Schedules: a cron expression invokes a function.
--
-- Operator: creates functions and empty tables. To let a role use them:
--   GRANT USAGE ON SCHEMA runnel TO app;
--   GRANT EXECUTE ON FUNCTION runnel.schedule, runnel.unschedule TO app;

CREATE TABLE runnel.schedules (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text COLLATE "C" NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 200),
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  cron        text NOT NULL,
  timezone    text NOT NULL DEFAULT 'UTC',
  payload     jsonb NOT NULL DEFAULT 'null',
  catch_up    text NOT NULL DEFAULT 'latest' CHECK (catch_up IN ('all', 'latest', 'none')),
  overlap     text NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip')),
  enabled     boolean NOT NULL DEFAULT true,
  cursor      timestamptz NOT NULL,   -- matches up to here have been considered
  next_run    timestamptz,            -- null: to be computed by the next sweep
  error       text,                   -- why the last sweep could not compute it
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_function_id ON runnel.schedules (function_id);
CREATE INDEX schedules_next_run ON runnel.schedules (next_run) WHERE enabled;

-- FUNC-T2: the key is what makes a match happen once.
CREATE TABLE runnel.schedule_ticks (
  schedule_id    bigint NOT NULL REFERENCES runnel.schedules ON DELETE CASCADE,
  scheduled_time timestamptz NOT NULL,
  outcome        text NOT NULL CHECK (outcome IN ('fired', 'caught_up', 'skipped')),
  reason         text CHECK ((outcome = 'skipped') = (reason IS NOT NULL)),
  invocation_id  uuid CHECK ((outcome = 'skipped') = (invocation_id IS NULL)),
  job_id         bigint,
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (schedule_id, scheduled_time)
);
CREATE INDEX schedule_ticks_scheduled_time ON runnel.schedule_ticks (scheduled_time);

-- Refuses what is not a cron expression (22023, "InvalidCron: ...") and answers
-- it in one spelling: single spaces, descriptors in lower case.
--
--   [second] minute hour day-of-month month day-of-week
--   @hourly @daily @midnight @weekly @monthly @yearly @annually
--
-- A field is a list of *, a value, a range, or one of them with a step; months
-- and days have names (JAN-DEC, SUN-SAT); 0 and 7 are Sunday; ? is * for the two
-- day fields. A range may wrap around (FRI-MON, 22-2) when it has no step. A step
-- must fit into its range, and an expression must have a date to match.
--
-- The scheduler's parser accepts more; whatever passes here means the same there.
CREATE FUNCTION runnel.check_cron(cron text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  names   CONSTANT text[] := '{second,minute,hour,day of month,month,day of week}';
  lowest  CONSTANT int[] := '{0,0,0,1,1,0}';
  highest CONSTANT int[] := '{59,59,23,31,12,7}';
  months  CONSTANT text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
  days    CONSTANT text[] := '{sun,mon,tue,wed,thu,fri,sat}';
  help    CONSTANT text := 'Use "minute hour day-of-month month day-of-week", such as "30 4 * * MON-FRI", with seconds in front if needed, or @hourly, @daily, @weekly, @monthly, @yearly.';
  fields  text[];
  item    text;
  part    text[];
  value   int[];
  step    int;
  size    int;
  earliest_day int := 1;          -- of the days of month it names
  longest_month int := 31;        -- of the months it names
  m int;
BEGIN
  IF cron IS NULL OR octet_length(cron) > 256 THEN
    RAISE EXCEPTION 'InvalidCron: %', CASE WHEN cron IS NULL THEN 'the expression is NULL' ELSE 'the expression is longer than 256 bytes' END
      USING ERRCODE = '22023', HINT = help;
  END IF;
  fields := regexp_split_to_array(btrim(cron, E' \t'), E'[ \t]+');
  IF fields[1] LIKE '@%' THEN
    IF cardinality(fields) = 1 AND lower(fields[1]) IN ('@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually') THEN
      RETURN lower(fields[1]);
    END IF;
    RAISE EXCEPTION 'InvalidCron: % is not known', quote_literal(left(cron, 40)) USING ERRCODE = '22023', HINT = help;
  END IF;
  IF cardinality(fields) NOT IN (5, 6) OR fields[1] = '' THEN
    RAISE EXCEPTION 'InvalidCron: an expression has five fields, or six with seconds; % has %',
      quote_literal(left(cron, 80)), CASE WHEN fields[1] = '' THEN 0 ELSE cardinality(fields) END
      USING ERRCODE = '22023', HINT = help;
  END IF;
  IF cardinality(fields) = 5 THEN
    fields := '0'::text || fields;
  END IF;

  FOR f IN 1..6 LOOP
    CONTINUE WHEN fields[f] = '?' AND f IN (4, 6);
    IF f = 4 THEN
      earliest_day := 31;
    ELSIF f = 5 THEN
      longest_month := 0;
    END IF;
    FOREACH item IN ARRAY string_to_array(fields[f], ',') LOOP
      part := regexp_match(item, '^(\*|([0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?)(/([0-9]{1,2}))?$');
      IF part IS NULL THEN
        RAISE EXCEPTION 'InvalidCron: % is not valid as %', quote_literal(left(item, 40)), names[f]
          USING ERRCODE = '22023', HINT = help;
      END IF;
      IF part[1] = '*' THEN
        value := ARRAY[lowest[f], highest[f]];
      ELSE
        value := ARRAY(
          SELECT CASE WHEN v ~ '^[0-9]' THEN v::int
                      WHEN f = 5 THEN array_position(months, lower(v))
                      WHEN f = 6 THEN array_position(days, lower(v)) - 1 END
          FROM unnest(ARRAY[part[2], coalesce(part[4], part[2])]) WITH ORDINALITY AS u(v, o) ORDER BY o);
        IF value[1] IS NULL OR value[2] IS NULL OR value[1] NOT BETWEEN lowest[f] AND highest[f] OR value[2] NOT BETWEEN lowest[f] AND highest[f] THEN
          RAISE EXCEPTION 'InvalidCron: % is not valid as %: it goes from % to %', quote_literal(item), names[f], lowest[f], highest[f]
            USING ERRCODE = '22023', HINT = help;
        END IF;
        IF part[5] IS NOT NULL AND part[3] IS NULL THEN
          value[2] := highest[f];  -- 5/15 is 5-59/15
        END IF;
      END IF;
      IF part[5] IS NOT NULL THEN
        step := part[6]::int;
        size := value[2] - value[1] + 1;
        IF step < 1 OR size < 1 OR (step > 1 AND step >= size) THEN
          RAISE EXCEPTION 'InvalidCron: the step of % does not fit its range', quote_literal(item)
            USING ERRCODE = '22023', HINT = help;
        END IF;
      END IF;
      IF f = 4 THEN
        earliest_day := least(earliest_day, CASE WHEN value[1] > value[2] THEN 1 ELSE value[1] END);
      ELSIF f = 5 THEN
        m := value[1];
        LOOP
          longest_month := greatest(longest_month, CASE WHEN m = 2 THEN 29 WHEN m IN (4, 6, 9, 11) THEN 30 ELSE 31 END);
          EXIT WHEN m = value[2] OR (step > 1 AND part[5] IS NOT NULL AND m + step > value[2]);
          m := CASE WHEN part[5] IS NOT NULL THEN m + step ELSE m % 12 + 1 END;
        END LOOP;
      END IF;
    END LOOP;
  END LOOP;
  IF earliest_day > longest_month AND fields[6] IN ('*', '?') THEN
    RAISE EXCEPTION 'InvalidCron: % matches no date: the months it names have at most % days', quote_literal(cron), longest_month
      USING ERRCODE = '22023', HINT = help;
  END IF;
  RETURN array_to_string(CASE WHEN cardinality(regexp_split_to_array(btrim(cron, E' \t'), E'[ \t]+')) = 5 THEN fields[2:6] ELSE fields END, ' ');
END $$;

-- Makes the schedule, or changes it where one of that name exists (its id and its
-- ticks stay). A new expression or timezone counts from now on: what the old one
-- would still have caught up is dropped.
CREATE FUNCTION runnel.schedule(
  name     text,
  cron     text,
  function text,
  payload  jsonb DEFAULT 'null',
  timezone text DEFAULT 'UTC',
  catch_up text DEFAULT 'latest',
  overlap  text DEFAULT 'allow'
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  f runnel.functions;
  zone text;
  schedule_id bigint;
BEGIN
  IF name IS NULL OR char_length(name) NOT BETWEEN 1 AND 200 THEN
    RAISE EXCEPTION 'a schedule''s name must have 1 to 200 characters' USING ERRCODE = '22023', HINT = 'Name it after what it does.';
  END IF;
  cron := runnel.check_cron(cron);
  f := runnel.find_function(function);
  IF timezone = 'UTC' THEN
    zone := timezone;  -- the usual one; the list below reads hundreds of files
  ELSE
    -- posix/, right/ and the like exist only here, not for the scheduler.
    SELECT z.name INTO zone FROM pg_timezone_names() AS z
    WHERE lower(z.name) = lower(schedule.timezone)
      AND z.name !~ '^(posix|right)/' AND z.name NOT IN ('posixrules', 'localtime', 'Factory')
    ORDER BY z.name = schedule.timezone DESC LIMIT 1;
  END IF;
  IF zone IS NULL THEN
    RAISE EXCEPTION 'timezone % does not exist', coalesce(quote_literal(left(timezone, 80)), 'NULL')
      USING ERRCODE = '22023', HINT = 'Use a name such as UTC or Europe/Berlin; SELECT name FROM pg_timezone_names lists them.';
  END IF;
  IF catch_up IS NULL OR catch_up NOT IN ('all', 'latest', 'none') THEN
    RAISE EXCEPTION 'catch_up % is not valid', coalesce(quote_literal(left(catch_up, 80)), 'NULL')
      USING ERRCODE = '22023', HINT = 'Use all (the newest 100 missed), latest or none.';
  END IF;
  IF overlap = 'queue' THEN
    RAISE EXCEPTION 'overlap ''queue'' is not available yet' USING ERRCODE = '0A000', HINT = 'Use allow or skip.';
  END IF;
  IF overlap IS NULL OR overlap NOT IN ('allow', 'skip') THEN
    RAISE EXCEPTION 'overlap % is not valid', coalesce(quote_literal(left(overlap, 80)), 'NULL')
      USING ERRCODE = '22023', HINT = 'Use allow, or skip to leave out a run while the one before has not finished.';
  END IF;
  IF octet_length(payload::text) > 6291456 - 8192 THEN
    RAISE EXCEPTION 'payload is % bytes: at most 6 MB can be handed to a function', octet_length(payload::text)
      USING ERRCODE = '54000', HINT = 'Store it in a table and pass its key.';
  END IF;
  INSERT INTO runnel.schedules AS s (name, function_id, cron, timezone, payload, catch_up, overlap, cursor)
  VALUES (schedule.name, f.id, schedule.cron, zone, coalesce(schedule.payload, 'null'), schedule.catch_up, schedule.overlap, clock_timestamp())
  ON CONFLICT ON CONSTRAINT schedules_name_key DO UPDATE SET
    function_id = excluded.function_id, cron = excluded.cron, timezone = excluded.timezone, payload = excluded.payload,
    catch_up = excluded.catch_up, overlap = excluded.overlap, enabled = true, next_run = NULL, error = NULL, updated_at = now(),
    cursor = CASE WHEN s.enabled AND s.cron = excluded.cron AND s.timezone = excluded.timezone THEN s.cursor ELSE excluded.cursor END
  RETURNING s.id INTO schedule_id;
  RETURN schedule_id;
END $$;

-- Removes a schedule and its ticks. Jobs that it has enqueued still run.
CREATE FUNCTION runnel.unschedule(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM runnel.schedules s WHERE s.name = unschedule.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no schedule %', coalesce(quote_literal(left(name, 200)), 'NULL')
      USING ERRCODE = '42704', HINT = 'SELECT name FROM runnel.schedules lists what there is.';
  END IF;
END $$;
