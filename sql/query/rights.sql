-- Who may use what: Postgres lets everyone execute a new function, and nothing here is
-- for everyone but the functions of auth, where they are ours. Run by every migration:
-- a database that was restored without its rights (pg_restore --no-acl) has Postgres's.
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'runnel'::regnamespace AND a.grantee = 0
  ) OR EXISTS (
    SELECT FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
    WHERE c.relnamespace = 'runnel'::regnamespace AND a.grantee = 0
  ) THEN
    REVOKE ALL ON ALL TABLES IN SCHEMA runnel FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA runnel FROM PUBLIC;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA runnel FROM PUBLIC;
  END IF;
  IF EXISTS (
    SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid
    WHERE n.nspname = 'auth' AND n.nspacl IS NULL AND n.nspowner = current_user::regrole
      AND p.proname = 'jwt' AND p.prosrc LIKE '%runnel.slots%'
  ) THEN
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
  END IF;
END $$;
