-- For databases whose auth.jwt(), auth.uid() and auth.role() are Supabase's own,
-- which believe settings that any SQL can change. Until they are replaced,
-- functions' SQL is refused as anon and authenticated (RlsUnavailable); nothing
-- else is affected. Runnel never runs this by itself. It can be run again.
--
--   runnel doctor --print supabase | psql "$DATABASE_URL"
--
-- Run it as a superuser, or as the owner of both these functions and schema runnel.
-- Afterwards they answer in functions' SQL what the caller's token says, and in all
-- other sessions what they did before: request.jwt.claims, as PostgREST sets it.
-- (Settings of PostgREST before version 9, request.jwt.claim.sub and the like, are
-- not read any more.)
--
-- Operator: the functions keep their owner, who gets the right to read who is
-- connected as which slot. A policy that was planned with the old ones is planned
-- anew; no table is locked.
BEGIN;

CREATE OR REPLACE FUNCTION auth.jwt() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  found_claims jsonb;
BEGIN
  SELECT c.claims INTO found_claims
  FROM runnel.slots s LEFT JOIN runnel.claims c ON c.slot = s.slot AND c.pid = pg_backend_pid()
  WHERE s.slot = session_user;
  IF FOUND THEN
    RETURN found_claims;
  END IF;
  RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
END $f$;

CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid
LANGUAGE sql STABLE AS $f$ SELECT (auth.jwt() ->> 'sub')::uuid $f$;

CREATE OR REPLACE FUNCTION auth.role() RETURNS text
LANGUAGE sql STABLE AS $f$ SELECT auth.jwt() ->> 'role' $f$;

DO $$
DECLARE
  definer name := (SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = 'auth.jwt()'::regprocedure);
BEGIN
  IF NOT has_table_privilege(definer, 'runnel.claims', 'SELECT') OR NOT has_schema_privilege(definer, 'runnel', 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA runnel TO %I', definer);
    EXECUTE format('GRANT SELECT ON runnel.slots, runnel.claims TO %I', definer);
  END IF;
END $$;

COMMIT;
