-- Postgres lets everyone execute a new function. Nothing here is for everyone.
-- Run at the end of every migration.
REVOKE ALL ON ALL TABLES IN SCHEMA runnel FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA runnel FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA runnel FROM PUBLIC;
