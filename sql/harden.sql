-- Optional, for a superuser: takes from everyone what functions' SQL does not need
-- and what leaves traces outside of tables. Nothing here is required for
-- FUNC-I3. Look first whether your application uses any of it; a role that does
-- can be granted it again. Runnel never runs this by itself.
--
--   psql -d mydatabase -f sql/harden.sql
REVOKE TEMP ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$
DECLARE
  f text;
BEGIN
  FOR f IN
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
      AND (p.proname IN ('pg_notify', 'set_config', 'pg_logical_emit_message', 'query_to_xml', 'query_to_xmlschema',
             'query_to_xml_and_xmlschema', 'cursor_to_xml', 'ts_stat', 'lo_create', 'lo_creat', 'lo_from_bytea', 'lo_put',
             'lowrite', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'pg_export_snapshot')
           OR p.proname LIKE 'pg\_%advisory%lock%')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f, (SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'runnel'));
  END LOOP;
END $$;
