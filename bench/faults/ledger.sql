-- The suite's own ledgers, and what generates load.
CREATE SCHEMA faults;

-- What ran: written by the functions themselves, on their own connections.
CREATE TABLE faults.ran (at timestamptz NOT NULL DEFAULT clock_timestamp(), event jsonb NOT NULL);

-- What clients sent, and what they know of its fate.
CREATE TABLE faults.sent (
  key     text PRIMARY KEY,
  trigger text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('committed', 'refused', 'unknown')),
  status  int NOT NULL DEFAULT 0,         -- HTTP; 0: no answer
  code    text NOT NULL DEFAULT '',
  id      uuid,                           -- the invocation's, when the client heard of it
  own     boolean NOT NULL DEFAULT true,  -- the answer was the caller's own
  unrun   boolean NOT NULL DEFAULT false  -- the caller was told that nothing ran
);

CREATE FUNCTION faults.tick(schedule text, at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE
RETURN 'tick ' || schedule || ' ' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');

-- What tells one event from all others.
CREATE FUNCTION faults.key(event jsonb) RETURNS text LANGUAGE sql IMMUTABLE
RETURN coalesce(event #>> '{body,key}', event #>> '{payload,key}', event #>> '{new,key}',
  'tick ' || (event ->> 'schedule') || ' ' || (event ->> 'scheduled_time'));

-- Rows whose changes invoke functions.
CREATE TABLE faults.orders (key text PRIMARY KEY, amount int NOT NULL DEFAULT 0);

GRANT USAGE ON SCHEMA faults TO anon, authenticated, service_role;
GRANT INSERT ON faults.ran TO anon, authenticated, service_role;
GRANT INSERT ON faults.orders TO anon, authenticated, service_role;
