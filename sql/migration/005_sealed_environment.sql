-- Environments, encrypted as secrets are where RUNNEL_SECRET_KEYS is set.
--
-- Operator: changes a small table, for a moment. What is stored in the clear stays
-- so, and works, until its function's environment is set again or until
-- "runnel secrets rotate", which seals all of it. Keep the keys apart from your
-- backups: without them the values are lost.

ALTER TABLE runnel.environment
  ALTER COLUMN value DROP NOT NULL,
  -- As runnel.secrets.value, bound to the table, function_id and key: a row that was
  -- copied to another place does not decrypt.
  ADD COLUMN sealed bytea CHECK (octet_length(sealed) BETWEEN 37 AND 131200),
  ADD CONSTRAINT environment_clear_or_sealed CHECK ((value IS NULL) <> (sealed IS NULL));
