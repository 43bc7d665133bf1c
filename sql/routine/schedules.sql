-- Schedules: a cron expression invokes a function. To let a role use them:
--   GRANT USAGE ON SCHEMA runnel TO app;
--   GRANT EXECUTE ON FUNCTION runnel.schedule, runnel.unschedule, runnel.enable_schedule, runnel.disable_schedule TO app;
--
-- Operator: the triggers on runnel.schedules and runnel.schedule_ticks are made anew
-- when this file changes; sweeps wait for a moment.

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
CREATE OR REPLACE FUNCTION runnel.check_cron(cron text) RETURNS text
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

-- Makes the schedule, or changes it where one of that name exists: its id, its
-- ticks and whether it is enabled stay. A new expression or timezone counts from
-- now on; a match of the old one that no worker has come to yet is recorded as
-- skipped.
CREATE OR REPLACE FUNCTION runnel.schedule(
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
  is_enabled boolean;
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
  IF overlap IS NULL OR overlap NOT IN ('allow', 'skip', 'queue') THEN
    RAISE EXCEPTION 'overlap % is not valid', coalesce(quote_literal(left(overlap, 80)), 'NULL')
      USING ERRCODE = '22023', HINT = 'Use allow, skip to leave out a run while the one before has not finished, or queue to let it wait.';
  END IF;
  IF octet_length(payload::text) > 6291456 - 8192 THEN
    RAISE EXCEPTION 'payload is % bytes: at most 6 MB can be handed to a function', octet_length(payload::text)
      USING ERRCODE = '54000', HINT = 'Store it in a table and pass its key.';
  END IF;
  INSERT INTO runnel.schedules AS s (name, function_id, cron, timezone, payload, catch_up, overlap, cursor)
  VALUES (schedule.name, f.id, schedule.cron, zone, coalesce(schedule.payload, 'null'), schedule.catch_up, schedule.overlap, clock_timestamp())
  ON CONFLICT ON CONSTRAINT schedules_name_key DO UPDATE SET
    function_id = excluded.function_id, cron = excluded.cron, timezone = excluded.timezone, payload = excluded.payload,
    catch_up = excluded.catch_up, overlap = excluded.overlap, next_run = NULL, error = NULL, updated_at = now()
  RETURNING s.id, s.enabled INTO schedule_id, is_enabled;
  IF NOT is_enabled THEN
    RAISE NOTICE 'schedule % is disabled', quote_literal(name) USING HINT = 'SELECT runnel.enable_schedule(...) turns it on.';
  END IF;
  RETURN schedule_id;
END $$;

-- Removes a schedule and its ticks. Jobs that it has enqueued still run.
CREATE OR REPLACE FUNCTION runnel.unschedule(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM runnel.schedules s WHERE s.name = unschedule.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no schedule %', coalesce(quote_literal(left(name, 200)), 'NULL')
      USING ERRCODE = '42704', HINT = 'SELECT name FROM runnel.schedules lists what there is.';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION runnel.switch_schedule(name text, enable boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE runnel.schedules s SET enabled = enable, updated_at = now()
  WHERE s.name = switch_schedule.name AND s.enabled <> enable;
  IF NOT FOUND THEN
    PERFORM FROM runnel.schedules s WHERE s.name = switch_schedule.name;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no schedule %', coalesce(quote_literal(left(name, 200)), 'NULL')
        USING ERRCODE = '42704', HINT = 'SELECT name FROM runnel.schedules lists what there is.';
    END IF;
  END IF;
END $$;

-- Turns a schedule off. What matches while it is off never runs and is in no tick:
-- runnel.schedule_revisions says from when to when it was off. Runs that exist go
-- on, those that wait for the one before included.
CREATE OR REPLACE FUNCTION runnel.disable_schedule(name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT runnel.switch_schedule(name, false) $$;

-- Turns a schedule on again, from now on: nothing is caught up.
CREATE OR REPLACE FUNCTION runnel.enable_schedule(name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT runnel.switch_schedule(name, true) $$;

-- Writes the revision, whoever changes the row. The time is taken here, under the
-- row's lock: no sweep is between it and the change.
CREATE OR REPLACE FUNCTION runnel.on_schedule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO runnel.schedule_revisions AS r (schedule_id, valid_from, cron, timezone, enabled)
  VALUES (NEW.id, CASE TG_OP WHEN 'INSERT' THEN NEW.cursor ELSE clock_timestamp() END, NEW.cron, NEW.timezone, NEW.enabled)
  ON CONFLICT (schedule_id, valid_from) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, enabled = excluded.enabled;
  NEW.next_run := NULL;  -- swept at once
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER on_schedule_made AFTER INSERT ON runnel.schedules
  FOR EACH ROW EXECUTE FUNCTION runnel.on_schedule_changed();

CREATE OR REPLACE TRIGGER on_schedule_changed BEFORE UPDATE OF cron, timezone, enabled ON runnel.schedules
  FOR EACH ROW WHEN ((OLD.cron, OLD.timezone, OLD.enabled) IS DISTINCT FROM (NEW.cron, NEW.timezone, NEW.enabled))
  EXECUTE FUNCTION runnel.on_schedule_changed();

-- A run that waits for the one before is started by its tick. Where the tick goes,
-- with its schedule, by retention after weeks of waiting, or by hand, the run is
-- cancelled: it would wait for ever, and the log says so instead.
CREATE OR REPLACE FUNCTION runnel.on_waiting_tick_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE runnel.river_job SET state = 'cancelled', finalized_at = now()
  WHERE id = OLD.job_id AND state = 'pending';
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER on_waiting_tick_deleted AFTER DELETE ON runnel.schedule_ticks
  FOR EACH ROW WHEN (OLD.waiting) EXECUTE FUNCTION runnel.on_waiting_tick_deleted();
