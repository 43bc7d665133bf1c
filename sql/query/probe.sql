-- Run on a new slot's connection, as its level: why it must not be used, one
-- line for each reason. No row is what we want.
WITH me AS (SELECT session_user AS slot, current_user AS level, r.* FROM pg_roles r WHERE r.rolname = session_user)
SELECT reason FROM me CROSS JOIN LATERAL (VALUES
  (NOT (level IN ('anon', 'authenticated', 'service_role') AND slot ~ ('^runnel_[0-9]+_' || level || '_[0-9]+$')),
   'the login is not a slot of its level'),
  (EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN (slot, level)
           AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AND r.rolname <> 'service_role')),
   'slot or level have rights of an administrator, or BYPASSRLS: take them away with ALTER ROLE'),
  (level = 'service_role' AND NOT (SELECT r.rolbypassrls FROM pg_roles r WHERE r.rolname = level),
   'service_role lacks BYPASSRLS: a superuser can give it with ALTER ROLE service_role BYPASSRLS'),
  (EXISTS (SELECT FROM pg_roles r WHERE r.rolname NOT IN (slot, level) AND (pg_has_role(slot, r.oid, 'MEMBER') OR pg_has_role(level, r.oid, 'MEMBER'))),
   'slot or level are members of other roles: REVOKE those'),
  (EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN (slot, level)
           AND (EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid) OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = r.oid)
             OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid) OR EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid))),
   'slot or level own tables, functions or schemas, and so stand above their policies: give those to another role with ALTER ... OWNER TO'),
  (rolconnlimit <> 1, 'the slot''s login is shared: its connection limit is not 1'),
  (EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = oid), 'the slot''s login has settings of its own'),
  (EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'runnel') AND c.relkind IN ('r', 'p', 'v')
           AND (has_table_privilege(level, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
             OR has_any_column_privilege(level, c.oid, 'INSERT, UPDATE, REFERENCES')
             OR c.relname IN ('claims', 'environment', 'slots') AND has_any_column_privilege(level, c.oid, 'SELECT'))),
   'the level may write tables of schema runnel, or read its claims or environment: REVOKE that'),
  (EXISTS (SELECT FROM pg_namespace n WHERE n.nspname IN ('runnel', 'auth', 'public', 'pg_catalog') AND has_schema_privilege(level, n.oid, 'CREATE')),
   'the level may create objects in a schema that others trust: REVOKE CREATE ON SCHEMA public FROM PUBLIC'),
  (EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'auth')
           AND (p.proname = 'jwt' AND p.pronargs = 0 AND p.prosrc !~ 'runnel\.claims' OR p.proname IN ('uid', 'role') AND p.pronargs = 0 AND p.prosrc !~ 'auth\.jwt\(\)')
           AND level <> 'service_role' AND has_function_privilege(level, p.oid, 'EXECUTE')),
   'auth.jwt(), auth.uid() or auth.role() of this database are not Runnel''s and read settings that SQL can forge: replace them with those of Runnel''s sql/routine/caller.sql')
) AS found(wrong, reason)
WHERE wrong
