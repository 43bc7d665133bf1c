-- What the role of DATABASE_URL may do, and how the levels of functions' SQL are.
SELECT current_user::text, r.rolsuper, r.rolcreaterole,
       coalesce((SELECT nspowner = r.oid FROM pg_namespace WHERE nspname = 'runnel'), false),
       current_setting('server_version'), current_setting('server_version_num')::int,
       (SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = 'service_role'),
       ARRAY(SELECT l FROM unnest('{anon,authenticated,service_role}'::text[]) l WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = l)),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
FROM pg_roles r WHERE r.rolname = current_user
