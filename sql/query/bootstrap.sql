-- The schema and the lists of what was applied to it. Run before everything
-- else, every time.
CREATE SCHEMA IF NOT EXISTS runnel;
REVOKE ALL ON SCHEMA runnel FROM PUBLIC;
CREATE TABLE IF NOT EXISTS runnel.migration (
  version    int PRIMARY KEY,
  name       text NOT NULL,
  checksum   text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS runnel.routine (
  name       text COLLATE "C" PRIMARY KEY,   -- of a file of routine/
  checksum   text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
