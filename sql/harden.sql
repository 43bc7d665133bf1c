-- Optional, for a superuser: takes from everyone what functions' SQL does not need
-- and what leaves traces outside of tables. Nothing here is required for
-- FUNC-I3. Look first whether your application uses any of it; a role that does
-- can be granted it again. Runnel never runs this by itself. It can be run again.
-- What no right governs stays open to an application function that executes its
-- caller's text: NOTIFY and SET as statements. runnel doctor lists such functions.
--
--   runnel doctor --print harden | psql "$DATABASE_URL"
DO $$
DECLARE
  runnels_owner name := (SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'runnel');
  f text;
BEGIN
  IF runnels_owner IS NULL THEN
    RAISE EXCEPTION 'this database has no schema runnel' USING HINT = 'Run "runnel migrate" first.';
  END IF;
  EXECUTE format('REVOKE TEMP ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT TEMP ON DATABASE %I TO %I', current_database(), runnels_owner);
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  FOR f IN
    SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
      AND (p.proname IN ('pg_notify', 'set_config', 'pg_logical_emit_message', 'query_to_xml', 'query_to_xmlschema',
             'query_to_xml_and_xmlschema', 'cursor_to_xml', 'ts_stat', 'lo_create', 'lo_creat', 'lo_from_bytea', 'lo_put',
             'lowrite', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'pg_export_snapshot')
           OR p.proname LIKE 'pg\_%advisory%lock%')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f, runnels_owner);
  END LOOP;
END $$;
