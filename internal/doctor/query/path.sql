-- Schemas that the role's statements look in by default, and others who may create there.
SELECT n.nspname, array_agg(DISTINCT coalesce(r.rolname, 'PUBLIC')::text ORDER BY coalesce(r.rolname, 'PUBLIC')::text)
FROM pg_settings s
CROSS JOIN LATERAL regexp_split_to_table(s.reset_val, '\s*,\s*') AS part
JOIN pg_namespace n ON n.nspname = CASE trim('"' FROM part) WHEN '$user' THEN current_user::text ELSE trim('"' FROM part) END
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE s.name = 'search_path' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS NOT TRUE
GROUP BY n.nspname
ORDER BY n.nspname
