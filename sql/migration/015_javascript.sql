-- Versions that were made of JavaScript or TypeScript say so. What runs is a reactor.
-- The table has a row for each deploy: checking them takes no time worth planning for.
ALTER TABLE runnel.function_versions
  DROP CONSTRAINT function_versions_kind_check,
  ADD CONSTRAINT function_versions_kind_check CHECK (kind IN ('command', 'reactor', 'extism', 'javascript'));
