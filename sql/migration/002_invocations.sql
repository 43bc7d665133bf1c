-- Events, the log, responses, counts, keys of calls that are made once, workers.
--
-- Operator: creates empty tables, and two partial indexes on runnel.river_job,
-- which lock out writers while they are built (empty in a new database).
--
-- Three tables are partitioned by UTC day on created_at, which in all three is
-- the River job's created_at. The default partition takes whatever has no day of
-- its own, so a writer never fails because nobody made tomorrow's partition.

-- On whose behalf an invocation runs.
CREATE TYPE runnel.caller AS (role text, user_id text, claims json, depth int);

-- What a function is handed, byte for byte. A job carries only the id.
CREATE TABLE runnel.invocation_events (
  id            uuid NOT NULL,
  created_at    timestamptz NOT NULL,
  function_id   uuid NOT NULL,     -- no foreign key: the event outlives the function
  function_name text NOT NULL,
  trigger       text NOT NULL CHECK (trigger IN ('http', 'database', 'schedule', 'sql')),
  event         bytea NOT NULL,    -- UTF-8 JSON; jsonb would normalise it
  role          text NOT NULL CHECK (role IN ('anon', 'authenticated', 'service_role')),
  user_id       text,
  claims        json,              -- json, not jsonb, for the same reason
  request_id    text,
  traceparent   text,
  respond       boolean NOT NULL DEFAULT false,  -- a waiter wants the raw result
  depth         int NOT NULL DEFAULT 0,          -- how many functions set each other off before it
  replay_of     uuid,                            -- the invocation that this one runs again
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.invocation_events_default PARTITION OF runnel.invocation_events DEFAULT;
-- A run of a schedule has request_id 'schedule:<id>:<scheduled time>', in its event
-- and in its log rows. The audit looks for two with the same.
CREATE INDEX invocation_events_schedules ON runnel.invocation_events (request_id text_pattern_ops) WHERE trigger = 'schedule';

-- The log: one row per attempt, written in the transaction that settles the
-- attempt's job, or for an invocation that was skipped (attempt 0, no job).
CREATE TABLE runnel.function_invocations (
  id            uuid NOT NULL,
  attempt       int NOT NULL,
  created_at    timestamptz NOT NULL,
  function_id   uuid,
  function_name text NOT NULL,
  version       int,
  wasm_hash     text,
  trigger       text NOT NULL,
  status        text NOT NULL CHECK (status IN
                ('success', 'error', 'timeout', 'out_of_memory', 'cancelled', 'lost', 'skipped')),
  job_id        bigint,
  user_id       text,
  role          text NOT NULL,
  duration_ms   double precision NOT NULL DEFAULT 0,
  queue_ms      double precision NOT NULL DEFAULT 0,
  memory_peak   bigint NOT NULL DEFAULT 0,  -- bytes
  fuel          bigint NOT NULL DEFAULT 0,  -- metered instructions
  error_code    text,
  error_message text,
  environment   jsonb NOT NULL DEFAULT '{}',  -- redacted
  logs          jsonb NOT NULL DEFAULT '[]',  -- redacted; [{t, level, message}]
  result        jsonb,                        -- null when large, not kept or not storable as jsonb
  request_id    text,
  traceparent   text,
  started_at    timestamptz,
  finished_at   timestamptz NOT NULL,
  replay_of     uuid,
  PRIMARY KEY (id, attempt, created_at)       -- FUNC-F3: settling twice finds the row there
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.function_invocations_default PARTITION OF runnel.function_invocations DEFAULT;
CREATE INDEX function_invocations_by_function
  ON runnel.function_invocations (function_id, created_at DESC, id DESC, attempt DESC);
CREATE INDEX function_invocations_failures
  ON runnel.function_invocations (function_id, created_at DESC, id DESC, attempt DESC)
  WHERE status <> 'success';

-- What a waiter is given. Raw results stay here for two days at most.
CREATE TABLE runnel.invocation_responses (
  id         uuid NOT NULL,
  created_at timestamptz NOT NULL,
  status     text NOT NULL,
  code       text,
  message    text,
  result     bytea,
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE runnel.invocation_responses_default PARTITION OF runnel.invocation_responses DEFAULT;

-- Attempts by function, trigger, status, hour and duration. bucket is a quarter of
-- an octave of milliseconds (runnel.duration_bucket); -1: it never ran.
CREATE TABLE runnel.invocation_counts (
  hour          timestamptz NOT NULL,   -- UTC; a whole day once it is old (runnel.compact_counts)
  function_id   uuid NOT NULL,          -- no foreign key: counts outlive the function
  function_name text NOT NULL,
  trigger       text NOT NULL,
  status        text NOT NULL,
  bucket        int NOT NULL,
  attempts      bigint NOT NULL,
  duration_ms   double precision NOT NULL,  -- of all of them together
  last_at       timestamptz NOT NULL,
  PRIMARY KEY (function_id, hour, trigger, status, bucket)
);
CREATE INDEX invocation_counts_hour ON runnel.invocation_counts (hour);

-- What was counted since: rows that are only ever inserted, so that those who
-- settle never wait for each other. runnel.compact_counts adds them up.
CREATE TABLE runnel.invocation_counts_new (LIKE runnel.invocation_counts);
CREATE INDEX invocation_counts_new_function ON runnel.invocation_counts_new (function_id);

-- One row: whoever has locked it adds up.
CREATE TABLE runnel.compaction (one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz);
INSERT INTO runnel.compaction DEFAULT VALUES;

-- Calls of runnel.invoke with an idempotency key: the first invocation under a key,
-- for 24 hours.
CREATE TABLE runnel.idempotency_keys (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  key         text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  id          uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, key)
);
CREATE INDEX idempotency_keys_created_at ON runnel.idempotency_keys (created_at);

-- The same for calls over HTTP with an Idempotency-Key. The scope is a hash of who
-- calls, so that nobody is ever given another caller's response; the request is a
-- hash of what was asked, so that a key that is used for something else is noticed.
-- created_at is the invocation's as well.
CREATE TABLE runnel.idempotent_calls (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  scope       bytea NOT NULL,
  key         text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  request     bytea NOT NULL,
  id          uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, scope, key)
);
CREATE INDEX idempotent_calls_created_at ON runnel.idempotent_calls (created_at);

-- A worker that has not been seen for a while has died with its running jobs.
CREATE TABLE runnel.workers (
  id         text PRIMARY KEY,   -- River's client id
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A job's function and key (runnel.job_args) in front, so that the jobs of one
-- function, or of one key of it, are found without those of others: what is in the
-- way costs nothing, however much of it there is.
CREATE INDEX river_job_waiting ON runnel.river_job
  ((coalesce(args ->> 'function', '') COLLATE "C"), (coalesce(args ->> 'key', '') COLLATE "C"), priority, scheduled_at, id)
  WHERE state = 'available' AND kind = 'invoke' AND queue = 'functions';
CREATE INDEX river_job_running ON runnel.river_job
  ((coalesce(args ->> 'function', '') COLLATE "C"), (coalesce(args ->> 'key', '') COLLATE "C"))
  WHERE state = 'running' AND kind = 'invoke' AND queue = 'functions';
