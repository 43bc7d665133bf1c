-- Versions that were made of JavaScript or TypeScript say so. What runs is a reactor.
--
-- Operator: nothing to do. Locks runnel.function_versions while its rows are
-- checked; it has one for each deploy, so that takes no time worth planning for.
ALTER TABLE runnel.function_versions
  DROP CONSTRAINT function_versions_kind_check,
  ADD CONSTRAINT function_versions_kind_check CHECK (kind IN ('command', 'reactor', 'extism', 'javascript'));
