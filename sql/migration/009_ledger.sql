-- Schedules: runs that wait for the one before them, schedules that can be
-- disabled, and a ledger that stays true when a schedule is changed.
--
-- Operator: small tables and indexes only. Building the index on
-- runnel.invocation_events reads that table once and holds up its writers
-- meanwhile (it is small unless you have schedules: it indexes nothing else).
--   GRANT EXECUTE ON FUNCTION runnel.enable_schedule, runnel.disable_schedule TO app;

ALTER TABLE runnel.schedules
  DROP CONSTRAINT schedules_overlap_check,
  ADD CONSTRAINT schedules_overlap_check CHECK (overlap IN ('allow', 'skip', 'queue'));

-- A schedule that was disabled is swept once more, for what was due before.
DROP INDEX runnel.schedules_next_run;
CREATE INDEX schedules_next_run ON runnel.schedules (next_run);

-- waiting: its job is there, in River's state pending, and starts when the run
-- before it has finished (overlap = queue).
ALTER TABLE runnel.schedule_ticks ADD COLUMN waiting boolean NOT NULL DEFAULT false;
CREATE INDEX schedule_ticks_waiting ON runnel.schedule_ticks (schedule_id, scheduled_time) WHERE waiting;
CREATE INDEX schedule_ticks_jobs ON runnel.schedule_ticks (schedule_id, scheduled_time) WHERE job_id IS NOT NULL;

-- A run of a schedule has request_id 'schedule:<id>:<scheduled time>', in its event
-- and in its log rows. The audit looks for two with the same.
CREATE INDEX invocation_events_schedules ON runnel.invocation_events (request_id text_pattern_ops) WHERE trigger = 'schedule';

-- Which expression counted from when on. A revision is about the matches after
-- valid_from, up to and including the next one's. The sweep decides every match by
-- the revision that it belongs to, and the audit computes them again from here.
CREATE TABLE runnel.schedule_revisions (
  schedule_id bigint NOT NULL REFERENCES runnel.schedules ON DELETE CASCADE,
  valid_from  timestamptz NOT NULL,
  cron        text NOT NULL,
  timezone    text NOT NULL,
  enabled     boolean NOT NULL,
  PRIMARY KEY (schedule_id, valid_from)
);
INSERT INTO runnel.schedule_revisions SELECT id, cursor, cron, timezone, enabled FROM runnel.schedules;
UPDATE runnel.schedules SET next_run = NULL;

-- Writes the revision, whoever changes the row. The time is taken here, under the
-- row's lock: no sweep is between it and the change.
CREATE FUNCTION runnel.on_schedule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO runnel.schedule_revisions AS r (schedule_id, valid_from, cron, timezone, enabled)
  VALUES (NEW.id, CASE TG_OP WHEN 'INSERT' THEN NEW.cursor ELSE clock_timestamp() END, NEW.cron, NEW.timezone, NEW.enabled)
  ON CONFLICT (schedule_id, valid_from) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, enabled = excluded.enabled;
  NEW.next_run := NULL;  -- swept at once
  RETURN NEW;
END $$;
CREATE TRIGGER on_schedule_made AFTER INSERT ON runnel.schedules
  FOR EACH ROW EXECUTE FUNCTION runnel.on_schedule_changed();
CREATE TRIGGER on_schedule_changed BEFORE UPDATE OF cron, timezone, enabled ON runnel.schedules
  FOR EACH ROW WHEN ((OLD.cron, OLD.timezone, OLD.enabled) IS DISTINCT FROM (NEW.cron, NEW.timezone, NEW.enabled))
  EXECUTE FUNCTION runnel.on_schedule_changed();

-- Nobody would start what still waits once its schedule is gone: it is cancelled,
-- and the log says so.
CREATE FUNCTION runnel.on_schedule_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE runnel.river_job j SET state = 'cancelled', finalized_at = now()
  FROM runnel.schedule_ticks t
  WHERE t.schedule_id = OLD.id AND t.waiting AND j.id = t.job_id AND j.state = 'pending';
  RETURN OLD;
END $$;
CREATE TRIGGER on_schedule_deleted BEFORE DELETE ON runnel.schedules
  FOR EACH ROW EXECUTE FUNCTION runnel.on_schedule_deleted();

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

CREATE FUNCTION runnel.switch_schedule(name text, enable boolean) RETURNS void
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
CREATE FUNCTION runnel.disable_schedule(name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT runnel.switch_schedule(name, false) $$;

-- Turns a schedule on again, from now on: nothing is caught up.
CREATE FUNCTION runnel.enable_schedule(name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT runnel.switch_schedule(name, true) $$;
