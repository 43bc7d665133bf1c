-- Modules: kept while a version refers to them.

-- Serialises whoever adds a version with whoever removes modules: otherwise a
-- deploy could find its module present and lose it before its version row is
-- visible. Held to the end of the transaction; deploys are rare and short.
CREATE OR REPLACE FUNCTION runnel.lock_modules() RETURNS void
LANGUAGE sql AS $$
  SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('runnel.modules', 0))
$$;

-- A module that no version refers to any more is garbage.
CREATE OR REPLACE FUNCTION runnel.remove_unused_modules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM runnel.lock_modules();
  DELETE FROM runnel.modules m
  WHERE m.wasm_hash IN (SELECT g.wasm_hash FROM gone g)
    AND NOT EXISTS (SELECT FROM runnel.function_versions v WHERE v.wasm_hash = m.wasm_hash);
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER remove_unused_modules AFTER DELETE ON runnel.function_versions
  REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION runnel.remove_unused_modules();
