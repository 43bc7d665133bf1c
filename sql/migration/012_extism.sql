-- Extism plug-ins are a third kind of module.
--
-- Operator: takes an ACCESS EXCLUSIVE lock on function_versions while its rows are
-- checked, one row per deploy: milliseconds. Workers of before this migration go on;
-- they refuse plug-ins that are deployed after it.
ALTER TABLE runnel.function_versions
  DROP CONSTRAINT function_versions_kind_check,
  ADD CONSTRAINT function_versions_kind_check CHECK (kind IN ('command', 'reactor', 'extism'));
