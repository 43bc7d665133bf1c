-- Application functions that a level may call and that seem to execute a text they
-- are given: PL/pgSQL with EXECUTE and a parameter that can hold text, or any with
-- one of Postgres's functions that run a query given as text. Found by their words:
-- some are harmless (format with %I and %L, a list of names), and others escape.
-- Not looked at: Postgres's own, Runnel's, and those of extensions but dblink's.
SELECT p.oid::regprocedure::text, p.prosecdef, pg_get_userbyid(p.proowner)::text,
       ARRAY(SELECT l.l FROM unnest('{anon,authenticated,service_role}'::text[]) l(l) JOIN pg_roles r ON r.rolname = l.l
             WHERE has_schema_privilege(r.oid, p.pronamespace, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
CROSS JOIN LATERAL (SELECT regexp_replace(p.prosrc, '--[^\n]*|/\*.*?\*/|\mGRANT\M[^;]*|\mREVOKE\M[^;]*|\mEXECUTE\s+(FUNCTION|PROCEDURE)\M', ' ', 'gin') AS text) source
WHERE p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'runnel') OR nspname LIKE 'pg\_%')
  AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') OR p.proname LIKE 'dblink%')
  AND p.prorettype <> 'trigger'::regtype
  AND (l.lanname = 'c' AND p.proname LIKE 'dblink%'
    OR l.lanname NOT IN ('c', 'internal')
      AND (l.lanname = 'plpgsql' AND source.text ~* '\mEXECUTE\M' OR source.text ~* '\m(query_to_xml|query_to_xmlschema|query_to_xml_and_xmlschema|ts_stat|dblink|dblink_exec)\M')
      AND EXISTS (SELECT FROM unnest(p.proargtypes) a(oid) JOIN pg_type t ON t.oid = a.oid
                  WHERE t.typcategory IN ('S', 'A') OR t.typname IN ('json', 'jsonb', 'xml', 'record') OR t.typtype IN ('c', 'd', 'p')))
  AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role')
              AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
ORDER BY p.prosecdef DESC, 1 LIMIT 200
