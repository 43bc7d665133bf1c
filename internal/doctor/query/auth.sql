-- auth.jwt(), auth.uid(), auth.role(): which are not Runnel's, and who owns them.
SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text, pg_has_role(p.proowner, 'MEMBER')
FROM pg_proc p
WHERE p.pronamespace = to_regnamespace('auth') AND p.pronargs = 0
  AND (p.proname = 'jwt' AND p.prosrc !~ 'runnel\.claims' OR p.proname IN ('uid', 'role') AND p.prosrc !~ 'auth\.jwt\(\)')
ORDER BY 1
