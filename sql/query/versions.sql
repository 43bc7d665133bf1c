-- Versions of a function, newest first.
-- $1 text name
SELECT v.version, v.wasm_hash, v.kind, octet_length(m.wasm_bytes), v.created_at, v.version = f.version
FROM runnel.functions f
JOIN runnel.function_versions v ON v.function_id = f.id
JOIN runnel.modules m ON m.wasm_hash = v.wasm_hash
WHERE f.name = $1
ORDER BY v.version DESC
