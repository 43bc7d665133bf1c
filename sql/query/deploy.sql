-- Stores a module and makes it the newest, current version of a function, which
-- is created if need be. Run it after runnel.lock_modules(), in the same
-- transaction. No row: the function exists and only a new one was wanted.
-- $1 text name  $2 bytea wasm  $3 text hash  $4 text kind  $5 boolean create only
WITH module AS (
  INSERT INTO runnel.modules (wasm_hash, wasm_bytes) VALUES ($3, $2)
  ON CONFLICT (wasm_hash) DO NOTHING
), fn AS (
  INSERT INTO runnel.functions AS f (name, version) VALUES ($1, 1)
  ON CONFLICT (name) DO UPDATE
  SET version = 1 + (SELECT max(v.version) FROM runnel.function_versions v WHERE v.function_id = f.id),
      updated_at = now()
  WHERE NOT $5::boolean
  RETURNING f.id, f.version
)
INSERT INTO runnel.function_versions (function_id, version, wasm_hash, kind)
SELECT fn.id, fn.version, $3, $4 FROM fn
RETURNING version = 1
