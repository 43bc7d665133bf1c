-- What decides by a setting that a function's SQL can change with set_config:
-- policies on tables that a level may use, views, column defaults, and functions
-- (Runnel's own ask for the slot first).
WITH levels AS (SELECT oid FROM pg_roles WHERE rolname IN ('anon', 'authenticated'))
SELECT 'policy', format('%s on %s', quote_ident(p.polname), p.polrelid::regclass)
FROM pg_policy p
WHERE concat(pg_get_expr(p.polqual, p.polrelid), ' ', pg_get_expr(p.polwithcheck, p.polrelid)) ~* 'current_setting\('
  AND EXISTS (SELECT FROM levels l WHERE has_any_column_privilege(l.oid, p.polrelid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(l.oid, p.polrelid, 'DELETE'))
UNION ALL
SELECT 'view', c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'runnel')
  AND EXISTS (SELECT FROM levels l WHERE has_any_column_privilege(l.oid, c.oid, 'SELECT'))
  AND pg_get_viewdef(c.oid) ~* 'current_setting\('
UNION ALL
SELECT 'default', format('%s.%s', d.adrelid::regclass, quote_ident(a.attname))
FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE pg_get_expr(d.adbin, d.adrelid) ~* 'current_setting\(.*request\.'
UNION ALL
SELECT 'function', p.oid::regprocedure::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'runnel') AND p.prosrc ~* 'current_setting\s*\(\s*''request\.'
  AND p.prosrc !~ 'runnel\.claims'
  AND NOT (n.nspname = 'auth' AND p.proname IN ('jwt', 'uid', 'role') AND p.pronargs = 0)
ORDER BY 1, 2 LIMIT 200
