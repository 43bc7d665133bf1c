-- Schedules, what became of their matches, and which expression counted when.
--
-- Operator: creates empty tables only; no lock on anything that exists.

CREATE TABLE runnel.schedules (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text COLLATE "C" NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 200),
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  cron        text NOT NULL,
  timezone    text NOT NULL DEFAULT 'UTC',
  payload     jsonb NOT NULL DEFAULT 'null',
  catch_up    text NOT NULL DEFAULT 'latest' CHECK (catch_up IN ('all', 'latest', 'none')),
  overlap     text NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip', 'queue')),
  enabled     boolean NOT NULL DEFAULT true,
  cursor      timestamptz NOT NULL,   -- matches up to here have been considered
  next_run    timestamptz,            -- null: to be computed by the next sweep
  error       text,                   -- why the last sweep could not compute it
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_function_id ON runnel.schedules (function_id);
-- One that was disabled is swept once more, for what was due before.
CREATE INDEX schedules_next_run ON runnel.schedules (next_run);

-- FUNC-T2: the key is what makes a match happen once.
CREATE TABLE runnel.schedule_ticks (
  schedule_id    bigint NOT NULL REFERENCES runnel.schedules ON DELETE CASCADE,
  scheduled_time timestamptz NOT NULL,
  outcome        text NOT NULL CHECK (outcome IN ('fired', 'caught_up', 'skipped')),
  reason         text CHECK ((outcome = 'skipped') = (reason IS NOT NULL)),
  invocation_id  uuid CHECK ((outcome = 'skipped') = (invocation_id IS NULL)),
  job_id         bigint,
  created_at     timestamptz NOT NULL DEFAULT now(),
  -- Its job is there, in River's state pending, and starts when the run before it
  -- has finished (overlap = queue).
  waiting        boolean NOT NULL DEFAULT false,
  PRIMARY KEY (schedule_id, scheduled_time)
);
CREATE INDEX schedule_ticks_scheduled_time ON runnel.schedule_ticks (scheduled_time);
CREATE INDEX schedule_ticks_waiting ON runnel.schedule_ticks (schedule_id, scheduled_time) WHERE waiting;
CREATE INDEX schedule_ticks_jobs ON runnel.schedule_ticks (schedule_id, scheduled_time) WHERE job_id IS NOT NULL;

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
