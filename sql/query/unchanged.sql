-- Tells whether a function's current version is this module, and locks the
-- function. No row: no such function.
-- $1 text name  $2 text hash  $3 text kind
SELECT v.wasm_hash = $2 AND v.kind = $3
FROM runnel.functions f
JOIN runnel.function_versions v ON v.function_id = f.id AND v.version = f.version
WHERE f.name = $1
FOR UPDATE OF f
