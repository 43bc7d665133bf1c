-- The roles anon, authenticated and service_role, where they do not exist and the
-- role of DATABASE_URL may create roles (CREATEROLE is enough; service_role needs
-- BYPASSRLS and so, before PostgreSQL 16, a superuser). They cannot log in. What
-- cannot be created is left out: then db_query answers RlsUnavailable at that level,
-- and everything else works. Run by every migration: roles are the server's, not the
-- database's, so a restored database may miss them.
DO $$
DECLARE
  level text;
BEGIN
  FOREACH level IN ARRAY '{anon,authenticated,service_role}'::text[] LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = level);
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT%s', level, CASE level WHEN 'service_role' THEN ' BYPASSRLS' ELSE '' END);
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'role % cannot be created here: db_query will answer RlsUnavailable for it', level;
      WHEN duplicate_object OR unique_violation THEN
        NULL;  -- by another migration on this server, just now
    END;
  END LOOP;
END $$;
