-- Makes an existing version current. No row: no such function or version.
-- $1 text name  $2 int version
UPDATE runnel.functions f SET version = v.version, updated_at = now()
FROM runnel.function_versions v
WHERE f.name = $1 AND v.function_id = f.id AND v.version = $2
RETURNING f.id
