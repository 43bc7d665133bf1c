-- On whose behalf an invocation runs, and what policies may ask about that.

-- The caller of this transaction, as an invocation of SQL or of a trigger
-- records it.
--
-- In a slot, that is: in a function's own SQL, it is the slot's level and the
-- claims that the owner wrote for it, whatever the settings say, because a
-- function's SQL can change those. The depth is one more than the function's.
--
-- Elsewhere: the role is the one of SET ROLE, else the login. anon, authenticated
-- and service_role are kept. Any other login is an application's or an operator's
-- own and stands above all three; handing a function the highest of them because
-- its caller is powerful would turn every trigger on every table into
-- service_role. So such a login becomes service_role only where the function may
-- bypass row level security anyway, and anon, the least, everywhere else.
-- Claims: request.jwt.claims, as PostgREST and Supabase set it, when it holds a
-- JSON object. Whoever can run SQL in the session can set it, so it is worth as
-- much as the session; it never widens the role.
CREATE OR REPLACE FUNCTION runnel.current_caller(can_bypass_rls boolean) RETURNS runnel.caller
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who runnel.caller;
  claims text := current_setting('request.jwt.claims', true);
BEGIN
  SELECT s.level, c.claims ->> 'sub', c.claims::json, coalesce(c.depth, 0) + 1
  INTO who.role, who.user_id, who.claims, who.depth
  FROM runnel.slots s LEFT JOIN runnel.claims c ON c.slot = s.slot AND c.pid = pg_backend_pid()
  WHERE s.slot = session_user;
  IF FOUND THEN
    RETURN who;
  END IF;

  who.depth := 0;
  who.role := current_setting('role');
  IF who.role = 'none' THEN
    who.role := session_user;
  END IF;
  IF who.role NOT IN ('anon', 'authenticated', 'service_role') THEN
    who.role := CASE WHEN can_bypass_rls THEN 'service_role' ELSE 'anon' END;
  END IF;
  IF claims <> '' THEN
    BEGIN
      IF json_typeof(claims::json) = 'object' THEN
        who.user_id := claims::json ->> 'sub';
        who.claims := claims::json;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      NULL;  -- not JSON: no claims
    END;
  END IF;
  RETURN who;
END $$;

-- auth.jwt(), auth.uid(), auth.role(): for policies, under Supabase's names. In a
-- slot they answer what the owner wrote, and null before it has; elsewhere they
-- read request.jwt.claims, as PostgREST sets it. In a policy write
-- (SELECT auth.uid()): then it is called once for a query, not once for a row.
--
-- Everyone may call them: they tell the caller who the caller is.
DO $$
BEGIN
  IF to_regnamespace('auth') IS NULL THEN
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
  END IF;

  IF to_regprocedure('auth.jwt()') IS NULL THEN
    CREATE FUNCTION auth.jwt() RETURNS jsonb
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
  END IF;

  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE sql STABLE AS $f$ SELECT (auth.jwt() ->> 'sub')::uuid $f$;
  END IF;

  IF to_regprocedure('auth.role()') IS NULL THEN
    CREATE FUNCTION auth.role() RETURNS text
    LANGUAGE sql STABLE AS $f$ SELECT auth.jwt() ->> 'role' $f$;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'the schema auth belongs to somebody else: its functions are left as they are';
END $$;
