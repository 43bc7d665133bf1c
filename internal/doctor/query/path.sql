-- Schemas that the owner's statements look in, and others who may create there.
SELECT n.nspname, array_agg(DISTINCT coalesce(r.rolname, 'PUBLIC')::text ORDER BY coalesce(r.rolname, 'PUBLIC')::text)
FROM unnest(current_schemas(false)) AS s(name)
JOIN pg_namespace n ON n.nspname = s.name
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS NOT TRUE
GROUP BY n.nspname
ORDER BY n.nspname
